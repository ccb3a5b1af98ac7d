//! The key that signs, as two deployments and two rotations at the same time would make it,
//! and while Secrets Manager or Parameter Store fail. Both are behind real HTTP, and do what
//! their documentation says of one value per token and of versions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use aws_sdk_ssm::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use axum::{Json, Router, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use identity::{PublicKeys, SigningKey};
use platform::provision::{ProvisionedKey, RotatedKey, provide_signing_key, rotate_signing_key};
use serde_json::{Value, json};
use store::SdkConfig;
use tokio::{net::TcpListener, sync::oneshot};

const GET_SECRET: &str = "secretsmanager.GetSecretValue";
const PUT_SECRET: &str = "secretsmanager.PutSecretValue";
const GET_KEYS: &str = "AmazonSSM.GetParameter";
const PUT_KEYS: &str = "AmazonSSM.PutParameter";

/// How long after now a key retires that was succeeded, at most, in seconds.
const RETIRES_WITHIN: i64 = 22 * 60;

#[derive(Default)]
struct Stored {
    secret: Option<String>,
    /// The values that were written with a token.
    tokens: HashMap<String, String>,
    /// Every version of the parameter.
    parameter: Vec<String>,
    /// The next call of this name fails.
    fails: Option<&'static str>,
    /// The answer to the next call of this name says that it is there, and waits.
    held: Option<(&'static str, oneshot::Sender<()>, oneshot::Receiver<()>)>,
}

/// Secrets Manager and Parameter Store.
struct Aws {
    stored: Arc<Mutex<Stored>>,
    config: SdkConfig,
}

impl Aws {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stored = Arc::default();
        let router = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&stored));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let credentials = Credentials::new("test", "test", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(store::http_client())
            .endpoint_url(url)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        Self { stored, config }
    }

    async fn provide(&self) -> anyhow::Result<ProvisionedKey> {
        provide_signing_key(&self.config, "signing-key", "/public-keys").await
    }

    async fn rotate(&self, compromised: bool) -> anyhow::Result<RotatedKey> {
        rotate_signing_key(&self.config, "signing-key", "/public-keys", compromised).await
    }

    fn fail_next(&self, call: &'static str) {
        self.stored.lock().unwrap().fails = Some(call);
    }

    /// The answer to the next call of this name waits for the second channel after it has
    /// been heard of on the first.
    fn hold_next(&self, call: &'static str) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (arrived, has_arrived) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel();
        self.stored.lock().unwrap().held = Some((call, arrived, may_go_on));
        (has_arrived, go_on)
    }

    fn signer(&self) -> SigningKey {
        let stored = self.stored.lock().unwrap();
        SigningKey::from_pem(stored.secret.as_ref().unwrap()).unwrap()
    }

    /// The published keys: what retires when.
    fn retirements(&self) -> HashMap<String, Option<i64>> {
        let stored = self.stored.lock().unwrap();
        let set: Value = serde_json::from_str(stored.parameter.last().unwrap()).unwrap();
        let keys = set["keys"].as_array().unwrap().iter();
        let all: Vec<_> = keys
            .map(|key| {
                (
                    key["kid"].as_str().unwrap().to_owned(),
                    key["retiresAt"].as_i64(),
                )
            })
            .collect();
        let each: HashMap<_, _> = all.iter().cloned().collect();
        assert_eq!(each.len(), all.len(), "a key is there twice: {set}");
        each
    }

    fn accepts(&self, id: &str) -> bool {
        let stored = self.stored.lock().unwrap();
        let keys = PublicKeys::from_json(stored.parameter.last().unwrap()).unwrap();
        keys.contains(id)
    }

    /// The key that signs is published without an end, and all others retire in time.
    fn is_settled(&self) {
        let signer = self.signer();
        let latest = chrono::Utc::now().timestamp() + RETIRES_WITHIN;
        let retirements = self.retirements();
        assert_eq!(retirements.get(signer.id()), Some(&None), "{retirements:?}");
        for (id, retires_at) in &retirements {
            assert!(
                id == signer.id() || retires_at.is_some_and(|time| time < latest),
                "{id} stays: {retirements:?}"
            );
        }
    }
}

type Answer = (StatusCode, Json<Value>);

async fn answer(
    State(stored): State<Arc<Mutex<Stored>>>,
    headers: HeaderMap,
    body: String,
) -> Answer {
    let input: Value = serde_json::from_str(&body).unwrap();
    let call = headers["x-amz-target"].to_str().unwrap().to_owned();
    let (answer, held) = {
        let mut stored = stored.lock().unwrap();
        let held = stored.held.take_if(|(name, ..)| *name == call);
        (stored.answer(&call, &input), held)
    };
    if let Some((_, arrived, may_go_on)) = held {
        arrived.send(()).unwrap();
        may_go_on.await.unwrap();
    }
    answer
}

fn refusal(code: &str) -> Answer {
    (StatusCode::BAD_REQUEST, Json(json!({ "__type": code })))
}

impl Stored {
    fn answer(&mut self, call: &str, input: &Value) -> Answer {
        if self.fails.take_if(|name| *name == call).is_some() {
            return refusal("AccessDeniedException");
        }
        let answer = match call {
            GET_SECRET => match &self.secret {
                Some(pem) => json!({ "SecretString": pem }),
                None => return refusal("ResourceNotFoundException"),
            },
            PUT_SECRET => {
                let (token, value) = (
                    text(input, "ClientRequestToken"),
                    text(input, "SecretString"),
                );
                let kept = self.tokens.entry(token).or_insert_with(|| value.clone());
                if *kept != value {
                    return refusal("ResourceExistsException");
                }
                self.secret = Some(value);
                json!({})
            }
            GET_KEYS => {
                let name = text(input, "Name");
                let version = match name.split_once(':') {
                    Some((_, version)) => version.parse().unwrap(),
                    None => self.parameter.len(),
                };
                let Some(value) = version.checked_sub(1).and_then(|at| self.parameter.get(at))
                else {
                    return refusal("ParameterNotFound");
                };
                json!({ "Parameter": { "Value": value, "Version": version } })
            }
            PUT_KEYS => {
                let value = text(input, "Value");
                assert!(value.len() <= 4096, "a parameter cannot hold that");
                self.parameter.push(value);
                json!({ "Version": self.parameter.len() })
            }
            _ => panic!("{call} is not expected"),
        };
        (StatusCode::OK, Json(answer))
    }
}

fn text(input: &Value, name: &str) -> String {
    input[name].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_next_key_signs_and_the_one_before_it_retires() {
    let aws = Aws::start().await;
    let first = aws.provide().await.unwrap();
    assert!(first.created);
    assert!(!aws.provide().await.unwrap().created);
    assert_eq!(aws.stored.lock().unwrap().parameter.len(), 1);

    let second = aws.rotate(false).await.unwrap();
    assert_eq!(second.succeeds.as_deref(), Some(&*first.id));
    assert_eq!(aws.signer().id(), second.id);
    assert!(aws.accepts(&first.id));
    aws.is_settled();

    let third = aws.rotate(true).await.unwrap();
    assert!(!aws.accepts(&first.id) && !aws.accepts(&second.id));
    assert!(aws.accepts(&third.id));
    aws.is_settled();
}

#[tokio::test]
async fn a_rotation_that_fails_leaves_the_key_that_signs_accepted() {
    for call in [GET_SECRET, GET_KEYS, PUT_KEYS, PUT_SECRET] {
        for compromised in [false, true] {
            let aws = Aws::start().await;
            let first = aws.provide().await.unwrap();
            aws.fail_next(call);
            aws.rotate(compromised).await.unwrap_err();
            assert_eq!(aws.signer().id(), first.id);
            assert_eq!(aws.retirements()[&first.id], None, "without {call}");

            assert!(!aws.provide().await.unwrap().created);
            aws.is_settled();
            aws.rotate(compromised).await.unwrap();
            assert_eq!(aws.accepts(&first.id), !compromised);
            aws.is_settled();
        }
    }
}

#[tokio::test]
async fn a_key_that_retired_while_it_signs_is_succeeded() {
    let aws = Aws::start().await;
    let first = aws.provide().await.unwrap();
    let retired = PublicKeys::default()
        .and(aws.signer().public_keys())
        .signed_by(
            &SigningKey::generate().unwrap().0,
            chrono::Utc::now().timestamp(),
        )
        .to_json();
    aws.stored.lock().unwrap().parameter.push(retired);
    let second = aws.provide().await.unwrap();
    assert!(second.created);
    assert!(!aws.accepts(&first.id));
    aws.is_settled();
}

#[tokio::test]
async fn a_deployment_does_not_bring_back_a_key_that_was_compromised() {
    for call in [GET_SECRET, GET_KEYS] {
        let aws = Aws::start().await;
        let first = aws.provide().await.unwrap();
        let (arrived, go_on) = aws.hold_next(call);
        let (provided, ()) = tokio::join!(aws.provide(), async {
            arrived.await.unwrap();
            aws.rotate(true).await.unwrap();
            go_on.send(()).unwrap();
        });
        provided.unwrap();
        assert!(!aws.accepts(&first.id), "after {call}");
        aws.is_settled();
    }
}

#[tokio::test]
async fn what_is_published_at_the_same_time_is_not_lost() {
    for call in [GET_SECRET, GET_KEYS, PUT_KEYS, PUT_SECRET] {
        for (slow, quick) in [(false, false), (false, true), (true, false), (true, true)] {
            let aws = Aws::start().await;
            let first = aws.provide().await.unwrap();
            let (arrived, go_on) = aws.hold_next(call);
            let (rotated, ()) = tokio::join!(aws.rotate(slow), async {
                arrived.await.unwrap();
                aws.rotate(quick).await.unwrap();
                aws.is_settled();
                go_on.send(()).unwrap();
            });
            rotated.unwrap();
            assert_eq!(aws.accepts(&first.id), !slow && !quick, "after {call}");
            aws.is_settled();
        }
    }
}

#[tokio::test]
async fn however_many_change_it_one_key_signs_and_is_published() {
    for _ in 0..10 {
        let aws = Aws::start().await;
        let results = tokio::join!(aws.provide(), aws.provide(), aws.provide());
        let provided = [results.0.unwrap(), results.1.unwrap(), results.2.unwrap()];
        assert_eq!(provided.iter().filter(|key| key.created).count(), 1);
        aws.is_settled();

        let results = tokio::join!(
            aws.rotate(false),
            aws.rotate(true),
            aws.provide(),
            aws.rotate(false),
        );
        results.0.unwrap();
        results.1.unwrap();
        results.2.unwrap();
        results.3.unwrap();
        assert!(!aws.accepts(&provided[0].id));
        aws.is_settled();
    }
}
