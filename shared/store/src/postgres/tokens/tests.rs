#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeMap, fmt::Write as _, io, net::Ipv4Addr};

use chrono::NaiveDateTime;
use futures::future::{Ready, ready};
use hmac::{Hmac, Mac as _};
use percent_encoding::percent_decode_str;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::pool_of;

const REGION: &str = "eu-central-1";
const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

const AUTHORITY: &[u8] = include_bytes!("../../../tests/certificates/authority.pem");
const ANOTHER: &[u8] = include_bytes!("../../../tests/certificates/another_authority.pem");
/// For the name `localhost`, by the first authority, with its key.
const LOCALHOST: &[u8] = include_bytes!("../../../tests/certificates/localhost.pem");

/// 2026-09-21T14:13:20Z.
fn moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn credentials_with(secret: &str, session: Option<&str>) -> Credentials {
    let session = session.map(ToOwned::to_owned);
    Credentials::new(KEY, secret, session, None, "test")
}

fn ours() -> Credentials {
    credentials_with(SECRET, None)
}

fn signer(options: PgConnectOptions) -> Signer {
    Signer::new(options, || Ok(REGION.to_owned())).unwrap()
}

/// What is in the query of a token, by name.
fn parameters(token: &str) -> BTreeMap<&str, &str> {
    let (_, query) = token.split_once("/?").unwrap();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
    pairs.collect()
}

// The expected values are those of `generate_db_auth_token` in botocore 1.42.34, at the same moment
// and with the same keys.
#[test]
fn a_token_is_what_aws_itself_would_sign() {
    let host = "db.cluster-abc.eu-central-1.rds.amazonaws.com";
    let session = Some("a session/with+signs==");
    for (user, in_url, session, signature) in [
        (
            "patient_management_patients",
            "patient_management_patients",
            None,
            "b0f2566ef0fafcd2610be4871d8e1b6fb2c91cce8e92bc2f4e9a22cff7b0a61b",
        ),
        (
            "odd user+name",
            "odd%20user%2Bname",
            session,
            "55b8cc6dacb8fb3127484e786d4f1b4b784e77bb28ca7c4aceed1c3599bb0a89",
        ),
    ] {
        let options = PgConnectOptions::new_without_pgpass()
            .host(host)
            .port(5432)
            .username(user)
            .ssl_mode(PgSslMode::VerifyFull);
        let token = signer(options)
            .options(credentials_with(SECRET, session), moment())
            .map(|options| password(&options))
            .unwrap();
        assert!(token.starts_with(&format!("{host}:5432/?Action=connect&DBUser={in_url}&")));
        let mut expected = BTreeMap::from([
            ("Action", "connect"),
            ("DBUser", in_url),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            (
                "X-Amz-Credential",
                "AKIAIOSFODNN7EXAMPLE%2F20260921%2Feu-central-1%2Frds-db%2Faws4_request",
            ),
            ("X-Amz-Date", "20260921T141320Z"),
            ("X-Amz-Expires", "900"),
            ("X-Amz-SignedHeaders", "host"),
            ("X-Amz-Signature", signature),
        ]);
        if session.is_some() {
            expected.insert("X-Amz-Security-Token", "a%20session%2Fwith%2Bsigns%3D%3D");
        }
        assert_eq!(parameters(&token), expected);
    }
}

/// The password in these options, which have no getter for it.
fn password(options: &PgConnectOptions) -> String {
    use sqlx::ConnectOptions as _;
    let url = options.to_url_lossy();
    let password = percent_decode_str(url.password().unwrap());
    password.decode_utf8().unwrap().into_owned()
}

#[test]
fn a_token_goes_only_to_a_server_that_proves_who_it_is() {
    for mode in [PgSslMode::Disable, PgSslMode::Prefer, PgSslMode::Require] {
        let options = PgConnectOptions::new_without_pgpass().ssl_mode(mode);
        let refused = Signer::new(options, || Ok(REGION.to_owned())).unwrap_err();
        assert!(matches!(refused, PoolError::Unverified), "{refused:?}");
    }
}

/// Logs in as Amazon RDS does, and then says nothing more: the server speaks TLS, asks for a password
/// in clear text, and takes for one what the role's keys have signed for this server and this user
/// within a quarter of an hour. It has a clock of its own.
#[derive(Clone)]
struct Rds {
    port: u16,
    clock: Arc<Mutex<SystemTime>>,
    /// What it was shown, whether it was good or not.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Rds {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let rds = Self {
            port: listener.local_addr().unwrap().port(),
            clock: Arc::new(Mutex::new(moment())),
            seen: Arc::default(),
        };
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(LOCALHOST).unwrap()],
                PrivateKeyDer::from_pem_slice(LOCALHOST).unwrap(),
            )
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(tls));
        let server = rds.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (server, tls) = (server.clone(), tls.clone());
                tokio::spawn(async move { server.serve(client, tls).await });
            }
        });
        rds
    }

    fn options(&self, host: &str, authority: &[u8], user: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host(host)
            .port(self.port)
            .username(user)
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert_from_pem(authority.to_vec())
    }

    /// A pool that reaches it, and a signer for that.
    fn kept(&self) -> Kept {
        let options = self.options("localhost", AUTHORITY, "patients");
        Kept::new(pool_of(options.clone()), signer(options))
    }

    fn set_clock(&self, now: SystemTime) {
        *self.clock.lock().unwrap() = now;
    }

    fn shown(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    async fn serve(self, mut client: TcpStream, tls: TlsAcceptor) -> io::Result<()> {
        let mut request = [0; 8];
        client.read_exact(&mut request).await?;
        client.write_all(b"S").await?;
        let mut client = tls.accept(client).await?;
        let startup = message(&mut client).await?;
        // After the version, names and values, each with a null behind it.
        let texts: Vec<&[u8]> = startup[4..].split(|byte| *byte == 0).collect();
        let user = texts.chunks(2).find(|pair| pair[0] == b"user").unwrap()[1];
        client.write_all(b"R\0\0\0\x08\0\0\0\x03").await?;
        assert_eq!(client.read_u8().await?, b'p');
        let password = message(&mut client).await?;
        let token = str::from_utf8(password.strip_suffix(b"\0").unwrap()).unwrap();
        self.seen.lock().unwrap().push(token.to_owned());
        if !self.takes(token, str::from_utf8(user).unwrap()) {
            return client.write_all(REFUSAL).await;
        }
        client.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await?;
        client.flush().await?;
        // Whoever asks something is disconnected.
        client.read_u8().await.map(drop)
    }

    /// Verifies the signature with nothing of what made it:
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
    fn takes(&self, token: &str, user: &str) -> bool {
        let Some((host, _)) = token.split_once("/?") else {
            return false;
        };
        let mut query = parameters(token);
        let signature = query.remove("X-Amz-Signature").unwrap();
        let decoded = |name| percent_decode_str(query[name]).decode_utf8().unwrap();
        let (time, scope) = (query["X-Amz-Date"], decoded("X-Amz-Credential"));
        let (_, scope) = scope.split_once('/').unwrap();
        let made = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").unwrap();
        let made = SystemTime::from(made.and_utc());
        let age = self.clock.lock().unwrap().duration_since(made);
        let expires: u64 = query["X-Amz-Expires"].parse().unwrap();
        let canonical: Vec<String> = query.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let request = format!(
            "GET\n/\n{}\nhost:{host}\n\nhost\n{}",
            canonical.join("&"),
            hex(&Sha256::digest(b""))
        );
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
            hex(&Sha256::digest(request))
        );
        let mut key = format!("AWS4{SECRET}").into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part.as_bytes());
        }
        host == format!("localhost:{}", self.port)
            && query["Action"] == "connect"
            && decoded("DBUser") == user
            && scope.ends_with("/eu-central-1/rds-db/aws4_request")
            && expires <= 900
            && matches!(age, Ok(age) if age <= Duration::from_secs(expires))
            && signature == hex(&mac(&key, to_sign.as_bytes()))
    }
}

const REFUSAL: &[u8] = b"E\0\0\0\x35SFATAL\0VFATAL\0C28000\0MPAM authentication failed\0\0";

async fn message(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = client.read_u32().await?;
    let mut content = vec![0; usize::try_from(length).unwrap() - 4];
    client.read_exact(&mut content).await?;
    Ok(content)
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn is_refused_login(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "28000")
}

#[tokio::test]
async fn every_connection_is_opened_with_a_token_of_its_moment() {
    let rds = Rds::start().await;
    let kept = rds.kept();
    // The second is as old as a token gets before there is a new one, the last after hours of sleep.
    for seconds in [0, 299, 301, 599, 6 * 3600] {
        let now = moment() + Duration::from_secs(seconds);
        rds.set_clock(now);
        if kept.is_due(now) {
            kept.renew(ours(), now).unwrap();
        }
        // It is asked something when it is given back, and disconnects: the next one is new.
        drop(kept.pool.acquire().await.unwrap());
    }
    let mut tokens = rds.shown();
    assert_eq!(tokens.len(), 5);
    tokens.dedup();
    assert_eq!(tokens.len(), 3);
}

#[tokio::test]
async fn a_token_opens_nothing_after_a_quarter_of_an_hour() {
    let rds = Rds::start().await;
    let kept = rds.kept();
    kept.renew(ours(), moment()).unwrap();
    rds.set_clock(moment() + Duration::from_mins(15));
    drop(kept.pool.acquire().await.unwrap());
    let late = moment() + Duration::from_secs(15 * 60 + 1);
    rds.set_clock(late);
    let refused = kept.pool.acquire().await.unwrap_err();
    assert!(is_refused_login(&refused), "{refused:?}");
    assert!(kept.is_due(late));
    kept.renew(ours(), late).unwrap();
    kept.pool.acquire().await.unwrap();
}

#[test]
fn a_new_token_is_made_when_the_clock_was_set_back() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let options = PgConnectOptions::new_without_pgpass().ssl_mode(PgSslMode::VerifyFull);
    let kept = Kept::new(pool_of(options.clone()), signer(options));
    kept.renew(ours(), moment()).unwrap();
    assert!(!kept.is_due(moment()));
    assert!(kept.is_due(moment() - Duration::from_secs(1)));
}

#[tokio::test]
async fn nobody_elses_token_opens_anything() {
    let rds = Rds::start().await;
    let options = |user| rds.options("localhost", AUTHORITY, user);
    let of_another_role = password(
        &signer(options("billing"))
            .options(ours(), moment())
            .unwrap(),
    );
    let for_another_server = options("patients").port(1);
    let for_another_server = password(
        &signer(for_another_server)
            .options(ours(), moment())
            .unwrap(),
    );
    let by_somebody_else = credentials_with("another secret", None);
    let by_somebody_else = signer(options("patients"))
        .options(by_somebody_else, moment())
        .map(|options| password(&options))
        .unwrap();
    for token in [
        of_another_role,
        for_another_server,
        by_somebody_else,
        "a password".to_owned(),
    ] {
        let pool = pool_of(options("patients").password(&token));
        let refused = pool.acquire().await.unwrap_err();
        assert!(is_refused_login(&refused), "{token}: {refused:?}");
    }
}

#[tokio::test]
async fn a_server_with_another_name_or_of_another_authority_gets_no_token() {
    let rds = Rds::start().await;
    for (host, authority) in [("127.0.0.1", AUTHORITY), ("localhost", ANOTHER)] {
        let options = rds.options(host, authority, "patients");
        let kept = Kept::new(pool_of(options.clone()), signer(options));
        kept.renew(ours(), moment()).unwrap();
        let refused = kept.pool.acquire().await.unwrap_err();
        let text = format!("{refused:?}");
        assert!(text.contains("InvalidCertificate"), "{host}: {text}");
    }
    assert_eq!(rds.shown(), [""; 0]);
}

#[tokio::test]
async fn a_call_begins_with_a_fresh_token() {
    let rds = Rds::start().await;
    let kept = Arc::new(rds.kept());
    KEPT.lock().unwrap().push(Arc::clone(&kept));
    let long_ago = Some(SystemTime::now() - Duration::from_hours(1));
    *kept.made.lock().unwrap() = long_ago;
    let seen = Arc::clone(&kept);
    let mut function = service_fn(move |(): ()| -> Ready<Result<bool, Failure>> {
        ready(Ok(seen.is_due(SystemTime::now())))
    });
    // The environment of the tests has credentials, as that of a function.
    let was_due = function.call(()).await.unwrap();
    assert!(!was_due);
    assert_ne!(*kept.made.lock().unwrap(), long_ago);
}
