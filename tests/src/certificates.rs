//! The certificates that the servers of the stack show.

use std::{env, fs, io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{Stack, broker::alter_broker, eventually};

const HOST: &str = "localhost";

/// What a client of PostgreSQL begins with: a length, and the code for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A server that shows a certificate.
#[derive(Debug, Clone, Copy)]
pub enum Server<'a> {
    /// The broker.
    Kafka,
    /// The database, to which this pool has connections of the owner.
    Postgres(&'a PgPool),
}

impl Server<'_> {
    /// Replaces the certificate by another one of the same authority while the server runs, and waits
    /// until it shows that to whoever connects.
    ///
    /// # Errors
    /// If there is no other one, or the server does not take it.
    pub async fn renew_certificate(self, stack: &Stack) -> io::Result<()> {
        let shown = self.shown(stack).await?;
        let (names, place) = match self {
            Self::Kafka => (["broker.pem", "broker-renewed.pem"], "kafka/tls/broker.pem"),
            Self::Postgres(_) => (
                ["database.pem", "database-renewed.pem"],
                "postgres/server.pem",
            ),
        };
        let mut next = None;
        for name in names {
            let path = stack.directory().join("certificates").join(name);
            let pem = fs::read(&path)
                .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
            let certificate = CertificateDer::from_pem_slice(&pem).map_err(io::Error::other)?;
            if certificate != shown {
                next = Some((pem, certificate));
            }
        }
        let (pem, certificate) = next.ok_or_else(|| io::Error::other("there is no other one"))?;
        // The same file, whose owner may be another user.
        fs::write(stack.directory().join(place), pem)?;
        self.reload().await?;
        eventually("the new certificate", async || {
            let shown = self.shown(stack).await.ok()?;
            (shown == certificate).then_some(())
        })
        .await;
        Ok(())
    }

    async fn reload(self) -> io::Result<()> {
        match self {
            Self::Kafka => {
                let setting = "listener.name.clients.ssl.keystore.location";
                alter_broker(setting, "tls/broker.pem").await
            }
            Self::Postgres(database) => {
                let reloaded = sqlx::query("SELECT pg_reload_conf()").execute(database);
                reloaded.await.map(drop).map_err(io::Error::other)
            }
        }
    }

    /// What it shows to whoever connects now. It has to be of the authority of the stack.
    async fn shown(self, stack: &Stack) -> io::Result<CertificateDer<'static>> {
        let mut connection = match self {
            Self::Kafka => {
                let brokers = env::var("KAFKA_BOOTSTRAP_SERVERS").map_err(io::Error::other)?;
                TcpStream::connect(brokers.split(',').next().unwrap_or_default()).await?
            }
            Self::Postgres(database) => {
                let options: Arc<PgConnectOptions> = database.connect_options();
                TcpStream::connect((options.get_host(), options.get_port())).await?
            }
        };
        if let Self::Postgres(_) = self {
            connection.write_all(&SSL_REQUEST).await?;
            if connection.read_u8().await? != b'S' {
                return Err(io::Error::other("the database speaks no TLS"));
            }
        }
        let host = ServerName::try_from(HOST).map_err(io::Error::other)?;
        let tls = TlsConnector::from(Arc::new(trusting_the_authority_of(stack)?));
        let connection = tls.connect(host, connection).await?;
        let certificates = connection.get_ref().1.peer_certificates();
        let certificate = certificates.and_then(<[_]>::first);
        let certificate = certificate.ok_or_else(|| io::Error::other("no certificate was shown"));
        Ok(certificate?.clone().into_owned())
    }
}

fn trusting_the_authority_of(stack: &Stack) -> io::Result<ClientConfig> {
    let path = stack.directory().join("certificates/authority.pem");
    let authority = CertificateDer::from_pem_file(path).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(authority).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
