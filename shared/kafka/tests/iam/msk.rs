//! In front of the broker of the running stack, what MSK asks of a role: TLS, and a token that is
//! signed with the keys of the role, for this region, less than a quarter of an hour ago. Everything
//! else goes to the broker as it is.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::Credentials;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::NaiveDateTime;
use hmac::{Hmac, Mac as _};
use kafka::testing::Stream;
use percent_encoding::percent_decode_str;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

pub(crate) const AUTHORITY: &str = include_str!("../../../store/tests/certificates/authority.pem");
/// For the name `localhost`, with its key.
const LOCALHOST: &[u8] = include_bytes!("../../../store/tests/certificates/localhost.pem");

pub(crate) const REGION: &str = "eu-central-1";

// <https://kafka.apache.org/protocol#protocol_api_keys>
const METADATA: i16 = 3;
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;

// <https://kafka.apache.org/protocol#protocol_error_codes>
const UNSUPPORTED_MECHANISM: i16 = 33;
const AUTHENTICATION_FAILED: i16 = 58;

const NO_SESSION: i64 = 0;

/// How a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// With an error at once.
    Error,
    /// As RFC 7628 has it: with the reason, and with an error when the client has seen that.
    Challenge,
}

#[derive(Clone)]
pub(crate) struct Msk {
    port: u16,
    state: Arc<State>,
}

struct State {
    /// Those that are valid now.
    keys: Mutex<Credentials>,
    /// How far its clock is ahead.
    ahead: Duration,
    refusal: Refusal,
    /// How long a session lasts.
    lifetime: Duration,
    /// What the broker answers to `ApiVersions`, by the version of the request.
    versions: Mutex<BTreeMap<i16, Vec<u8>>>,
    opened: AtomicUsize,
    refused: AtomicUsize,
    ended: AtomicUsize,
}

impl Msk {
    /// It lets in whoever has these keys.
    pub(crate) async fn start(keys: Credentials) -> Self {
        Self::start_with(
            keys,
            Duration::ZERO,
            Refusal::Error,
            Duration::from_mins(15),
        )
        .await
    }

    pub(crate) async fn start_with(
        keys: Credentials,
        ahead: Duration,
        refusal: Refusal,
        lifetime: Duration,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let msk = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::new(State {
                keys: Mutex::new(keys),
                ahead,
                refusal,
                lifetime,
                versions: Mutex::default(),
                opened: AtomicUsize::new(0),
                refused: AtomicUsize::new(0),
                ended: AtomicUsize::new(0),
            }),
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
        let server = msk.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (server, tls) = (server.clone(), tls.clone());
                tokio::spawn(async move { server.serve(client, tls).await });
            }
        });
        msk
    }

    pub(crate) fn brokers(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The role has new keys, and the former ones are not valid any more.
    pub(crate) fn rotate(&self, keys: Credentials) {
        *self.state.keys.lock().unwrap() = keys;
    }

    /// How many sessions it has opened.
    pub(crate) fn opened(&self) -> usize {
        self.state.opened.load(Ordering::Relaxed)
    }

    /// How many tokens it has refused.
    pub(crate) fn refused(&self) -> usize {
        self.state.refused.load(Ordering::Relaxed)
    }

    /// How many requests it has not answered because the session was over.
    pub(crate) fn ended(&self) -> usize {
        self.state.ended.load(Ordering::Relaxed)
    }

    async fn serve(self, client: TcpStream, tls: TlsAcceptor) -> io::Result<()> {
        let state = &*self.state;
        let mut client = tls.accept(client).await?;
        let mut session = None;
        loop {
            let request = message(&mut client).await?;
            let answer = match (api(&request), &mut session) {
                (API_VERSIONS, None) => self.versions(&request).await?,
                (SASL_HANDSHAKE, None) => handshake(&request),
                (SASL_AUTHENTICATE, None) => {
                    let (answer, accepted) = self.authentication(&request);
                    if accepted {
                        let broker = kafka::testing::connect().await?;
                        state.opened.fetch_add(1, Ordering::Relaxed);
                        session = Some((broker, Instant::now() + state.lifetime));
                    }
                    answer
                }
                // A client that has not logged in asks for nothing else.
                (_, None) => return Ok(()),
                // As Kafka does: it notices when the client next wants something.
                (_, Some((_, end))) if Instant::now() >= *end => {
                    state.ended.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                (api, Some((broker, _))) => {
                    let answer = relayed(broker, &request).await?;
                    match api {
                        METADATA => self.with_own_address(&answer, version(&request)),
                        _ => answer,
                    }
                }
            };
            send(&mut client, &answer).await?;
        }
    }

    /// The answer to `ApiVersions`: what the broker says, which is asked once.
    async fn versions(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let known = &self.state.versions;
        let answer = known.lock().unwrap().get(&version(request)).cloned();
        let mut answer = match answer {
            Some(answer) => answer,
            None => relayed(&mut kafka::testing::connect().await?, request).await?,
        };
        known
            .lock()
            .unwrap()
            .insert(version(request), answer.clone());
        answer[..4].copy_from_slice(&request[4..8]);
        Ok(answer)
    }

    /// The answer to `SaslAuthenticate` in its version 2, and whether the client is let in.
    fn authentication(&self, request: &[u8]) -> (Vec<u8>, bool) {
        assert_eq!(version(request), 2, "what the client has always chosen");
        let state = &*self.state;
        // The header ends with tagged fields: none.
        let body = &body(request)[1..];
        // The length, which is larger by one, is in seven bits of each byte.
        let width = body.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let sent = &body[width..body.len() - 1];
        let answer = |error: i16, content: &[u8], lifetime: i64| {
            let mut answer = request[4..8].to_vec();
            answer.push(0);
            answer.extend(error.to_be_bytes());
            // No message, or one.
            answer.extend(if error == 0 {
                &b"\0"[..]
            } else {
                &b"\x07denied"[..]
            });
            answer.push(u8::try_from(content.len() + 1).unwrap());
            answer.extend(content);
            answer.extend(lifetime.to_be_bytes());
            answer.push(0);
            answer
        };
        let refused = |error, content: &[u8]| (answer(error, content, NO_SESSION), false);
        if sent == b"\x01" {
            return refused(AUTHENTICATION_FAILED, b"");
        }
        let text = str::from_utf8(sent).unwrap_or_default();
        let token = text.strip_prefix("n,,\x01auth=Bearer ");
        let token = token.and_then(|rest| rest.strip_suffix("\x01\x01"));
        let token = token.unwrap_or_default();
        if let Some(left) = self.verified(token) {
            let lifetime = left.min(state.lifetime).as_millis();
            return (answer(0, b"", i64::try_from(lifetime).unwrap()), true);
        }
        state.refused.fetch_add(1, Ordering::Relaxed);
        match state.refusal {
            Refusal::Error => refused(AUTHENTICATION_FAILED, b""),
            Refusal::Challenge => refused(0, br#"{"status":"invalid_token"}"#),
        }
    }

    /// How much longer the token is valid, if it is. Verifies the signature with nothing of what made
    /// it: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
    fn verified(&self, token: &str) -> Option<Duration> {
        let keys = self.state.keys.lock().unwrap().clone();
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let (host, query) = url.strip_prefix("https://")?.split_once("/?")?;
        let pairs = query.split('&').map(|pair| pair.split_once('='));
        let mut query: BTreeMap<&str, &str> = pairs.collect::<Option<_>>()?;
        // It is added after signing.
        query.remove("User-Agent")?;
        let signature = query.remove("X-Amz-Signature")?;
        let decoded = |name| {
            let value = percent_decode_str(query.get(name)?).decode_utf8();
            Some(value.ok()?.into_owned())
        };
        let (time, credential) = (*query.get("X-Amz-Date")?, decoded("X-Amz-Credential")?);
        let (id, scope) = credential.split_once('/')?;
        let made = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").ok()?;
        let now = SystemTime::now() + self.state.ahead;
        let age = now.duration_since(made.and_utc().into()).ok()?;
        let expires = query.get("X-Amz-Expires")?.parse().ok()?;
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
        let mut key = format!("AWS4{}", keys.secret_access_key()).into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part.as_bytes());
        }
        let is_good = host == format!("kafka.{REGION}.amazonaws.com")
            && decoded("Action")? == "kafka-cluster:Connect"
            && decoded("X-Amz-Security-Token").as_deref() == keys.session_token()
            && id == keys.access_key_id()
            && scope == format!("{}/{REGION}/kafka-cluster/aws4_request", &time[..8])
            && query.get("X-Amz-SignedHeaders") == Some(&"host")
            && expires <= 900
            && signature == hex(&mac(&key, to_sign.as_bytes()));
        let left = Duration::from_secs(expires).checked_sub(age)?;
        is_good.then_some(left)
    }

    /// The answer to `Metadata`, up to version 4, from a cluster that consists of this broker.
    fn with_own_address(&self, answer: &[u8], version: i16) -> Vec<u8> {
        // A correlation id, how long to wait (from version 3 on), the number of brokers, the first
        // one's id; then its host and its port.
        let begin = if version >= 3 { 16 } else { 12 };
        let length = usize::from(u16::from_be_bytes([answer[begin], answer[begin + 1]]));
        let mut own = answer[..begin].to_vec();
        own.extend(b"\0\x09localhost");
        own.extend(i32::from(self.port).to_be_bytes());
        own.extend(&answer[begin + 2 + length + 4..]);
        own
    }
}

/// The answer to `SaslHandshake` in its version 1: what MSK offers roles.
fn handshake(request: &[u8]) -> Vec<u8> {
    let is_offered = body(request) == b"\0\x0bOAUTHBEARER";
    let error = if is_offered { 0 } else { UNSUPPORTED_MECHANISM };
    let mut answer = request[4..8].to_vec();
    answer.extend(error.to_be_bytes());
    answer.extend(b"\0\0\0\x02\0\x0bOAUTHBEARER\0\x0bAWS_MSK_IAM");
    answer
}

fn api(request: &[u8]) -> i16 {
    i16::from_be_bytes([request[0], request[1]])
}

fn version(request: &[u8]) -> i16 {
    i16::from_be_bytes([request[2], request[3]])
}

/// What follows the API, its version, a correlation id and the client's id.
fn body(request: &[u8]) -> &[u8] {
    let client = usize::from(u16::from_be_bytes([request[8], request[9]]));
    &request[10 + client..]
}

async fn relayed(broker: &mut Box<dyn Stream>, request: &[u8]) -> io::Result<Vec<u8>> {
    send(broker, request).await?;
    message(broker).await
}

async fn message(connection: &mut (impl Stream + ?Sized)) -> io::Result<Vec<u8>> {
    let length = connection.read_u32().await?;
    let mut content = vec![0; usize::try_from(length).unwrap()];
    connection.read_exact(&mut content).await?;
    Ok(content)
}

async fn send(connection: &mut (impl Stream + ?Sized), message: &[u8]) -> io::Result<()> {
    connection
        .write_u32(message.len().try_into().unwrap())
        .await?;
    connection.write_all(message).await?;
    connection.flush().await
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
