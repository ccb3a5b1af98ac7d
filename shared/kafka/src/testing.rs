//! A connection to a broker for tests that speak Kafka's protocol themselves, because no client has
//! what they need.

use std::{env, io};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use rsasl::{
    config::SASLConfig,
    prelude::{Mechname, SASLClient},
};
use rskafka::client::Credentials;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{Cluster, SettingError, access::Access, iam::Role, roots, scram::Secret};

/// The requests `SaslHandshake` in its version 1 and `SaslAuthenticate` in its version 0
/// (<https://kafka.apache.org/protocol#The_Messages_SaslHandshake>).
const HANDSHAKE: [u8; 4] = [0, 17, 0, 1];
const AUTHENTICATE: [u8; 4] = [0, 36, 0, 0];

/// The mechanism of [`Access::Scram`].
const MECHANISM: &str = "SCRAM-SHA-512";

/// These brokers, which are known by this authority (PEM; without one, any that browsers trust) and
/// know this user.
///
/// # Errors
/// If the authority is none.
pub fn cluster(
    brokers: &str,
    authority: Option<&str>,
    user: &str,
    password: &str,
) -> Result<Cluster, SettingError> {
    let credentials = Credentials::new(user.to_owned(), password.to_owned());
    let access = Access::Scram {
        tls: roots::trusting(authority)?,
        secret: Secret::known(credentials),
    };
    Ok(Cluster::new(brokers, access))
}

/// These brokers, which are known by this authority (PEM) and let in a role with these credentials, as
/// MSK does in this region.
///
/// # Errors
/// If the authority is none.
pub fn cluster_with_roles(
    brokers: &str,
    authority: &str,
    credentials: impl ProvideCredentials + 'static,
    region: &str,
) -> Result<Cluster, SettingError> {
    let credentials = SharedCredentialsProvider::new(credentials);
    let access = Access::Iam {
        tls: roots::trusting(Some(authority))?,
        role: Role::Known(credentials, region.to_owned()),
    };
    Ok(Cluster::new(brokers, access))
}

/// Something to read from and to write to.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to the first broker of the cluster that the settings name, and logs in.
///
/// # Errors
/// If that fails.
pub async fn connect() -> io::Result<Box<dyn Stream>> {
    let brokers = env::var("KAFKA_BOOTSTRAP_SERVERS").map_err(io::Error::other)?;
    let broker = brokers.split(',').next().unwrap_or_default();
    let connection = TcpStream::connect(broker).await?;
    let access = Access::from_env().map_err(io::Error::other)?;
    let Access::Scram { tls, secret } = access else {
        return Ok(Box::new(connection));
    };
    let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host);
    let host = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut connection = TlsConnector::from(tls).connect(host, connection).await?;
    let user = secret.credentials().await.map_err(io::Error::other)?;
    log_in(&mut connection, user.username, user.password).await?;
    Ok(Box::new(connection))
}

async fn log_in(connection: &mut impl Stream, user: String, password: String) -> io::Result<()> {
    request(
        connection,
        HANDSHAKE,
        &with_length_of_2(MECHANISM.as_bytes()),
    )
    .await?;
    let config = SASLConfig::with_credentials(None, user, password).map_err(io::Error::other)?;
    let mechanism = Mechname::parse(MECHANISM.as_bytes()).map_err(io::Error::other)?;
    let mut session = SASLClient::new(config)
        .start_suggested(&[mechanism])
        .map_err(io::Error::other)?;
    let mut received: Option<Vec<u8>> = None;
    loop {
        let mut sent = Vec::new();
        let state = session
            .step(received.as_deref(), &mut sent)
            .map_err(io::Error::other)?;
        if state.has_sent_message() {
            let length = u32::try_from(sent.len()).map_err(io::Error::other)?;
            let body = [&length.to_be_bytes()[..], &sent].concat();
            let answer = request(connection, AUTHENTICATE, &body).await?;
            received = Some(authentication(&answer)?.to_vec());
        }
        if state.is_finished() {
            return Ok(());
        }
    }
}

/// What the broker says in an answer to `SaslAuthenticate`, behind a message that may be null.
fn authentication(answer: &[u8]) -> io::Result<&[u8]> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let (length, rest) = answer.split_at_checked(2).ok_or_else(malformed)?;
    let skipped = match length {
        [0xff, 0xff] => 0,
        _ => usize::from(u16::from_be_bytes([length[0], length[1]])),
    };
    rest.get(skipped + 4..).ok_or_else(malformed)
}

fn with_length_of_2(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], text].concat()
}

/// Sends a request, and returns what follows the error code of its answer.
async fn request(connection: &mut impl Stream, api: [u8; 4], body: &[u8]) -> io::Result<Vec<u8>> {
    // A correlation id, and no client id.
    let request = [&api[..], &[0, 0, 0, 1, 0xff, 0xff], body].concat();
    let length = u32::try_from(request.len()).map_err(io::Error::other)?;
    connection.write_u32(length).await?;
    connection.write_all(&request).await?;
    connection.flush().await?;
    let length = connection.read_u32().await?;
    let mut answer = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    connection.read_exact(&mut answer).await?;
    match answer.get(4..6) {
        Some([0, 0]) => Ok(answer.split_off(6)),
        _ => Err(io::Error::other("the broker refuses the login")),
    }
}
