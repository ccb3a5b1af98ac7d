//! The key that signs, as two deployments and two rotations at the same time would make it,
//! and while Secrets Manager or DynamoDB fail. The keys are published in a real table; Secrets
//! Manager is behind real HTTP, and does what its documentation says of one value per token.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    config::{
        Credentials, HttpClient, Region, RuntimeComponents, SharedCredentialsProvider,
        SharedHttpClient, http::HttpRequest,
    },
    types::AttributeValue,
};
use aws_smithy_runtime_api::client::{
    behavior_version::BehaviorVersion,
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpResponse,
};
use aws_smithy_types::body::SdkBody;
use axum::{Json, Router, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use identity::{PublicKeys, PublishedKeys, SigningKey};
use platform::provision::{ProvisionedKey, RotatedKey, provide_signing_key, rotate_signing_key};
use serde_json::{Value, json};
use store::{SdkConfig, Table, testing};
use tokio::{net::TcpListener, sync::oneshot};

const GET_SECRET: &str = "secretsmanager.GetSecretValue";
const PUT_SECRET: &str = "secretsmanager.PutSecretValue";
const GET_KEYS: &str = "DynamoDB_20120810.GetItem";
const PUT_KEYS: &str = "DynamoDB_20120810.PutItem";

/// How long after now a key retires that was succeeded, at most, in seconds.
const RETIRES_WITHIN: i64 = 22 * 60;

/// Secrets Manager: one secret.
#[derive(Default)]
struct Secret {
    value: Option<String>,
    /// The values that were written with a token.
    tokens: HashMap<String, String>,
}

/// What happens to calls on their way, and what went through.
#[derive(Default)]
struct Traffic {
    /// The next call of this name fails.
    fails: Option<&'static str>,
    /// The next call of this name says that it is there, and waits.
    held: Option<(Held, oneshot::Sender<()>, oneshot::Receiver<()>)>,
    /// What was published, one after the other.
    published: Vec<PublishedKeys>,
}

/// Which call waits, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Before it has an effect.
    Call(&'static str),
    /// When it has had one.
    AnswerTo(&'static str),
}

/// The way to AWS.
#[derive(Clone)]
struct Way {
    traffic: Arc<Mutex<Traffic>>,
    to: SharedHttpClient,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Way")
    }
}

impl HttpClient for Way {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connection {
            way: self.clone(),
            to: self.to.http_connector(settings, components),
        })
    }
}

/// A connection on it.
#[derive(Debug, Clone)]
struct Connection {
    way: Way,
    to: SharedHttpConnector,
}

impl HttpConnector for Connection {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connection = self.clone();
        HttpConnectorFuture::new(async move {
            let call = request.headers().get("x-amz-target").unwrap().to_owned();
            let way = &connection.way;
            if way.fails(&call) {
                let refusal = r#"{"__type":"AccessDeniedException"}"#;
                let status = StatusCode::BAD_REQUEST.into();
                return Ok(HttpResponse::new(status, SdkBody::from(refusal)));
            }
            let keys = (call == PUT_KEYS).then(|| published_in(&request));
            if call == GET_KEYS {
                assert_eq!(input(&request)["ConsistentRead"], true);
            }
            if call == PUT_SECRET {
                way.has_published(&signer_in(&request));
            }
            way.wait(|held| matches!(held, Held::Call(name) if name == call))
                .await;
            let response = connection.to.call(request).await?;
            if let Some(keys) = keys.filter(|_| response.status().is_success()) {
                way.traffic.lock().unwrap().published.push(keys);
            }
            way.wait(|held| matches!(held, Held::AnswerTo(name) if name == call))
                .await;
            Ok(response)
        })
    }
}

impl Way {
    fn fails(&self, call: &str) -> bool {
        let mut traffic = self.traffic.lock().unwrap();
        traffic.fails.take_if(|name| *name == call).is_some()
    }

    /// A key that signs and is not published yet would lock everybody out.
    fn has_published(&self, signer: &SigningKey) {
        let traffic = self.traffic.lock().unwrap();
        let mut published = traffic.published.iter();
        assert!(published.any(|one| one.keys().unwrap().contains(signer.id())));
    }

    async fn wait(&self, is_here: impl Fn(Held) -> bool) {
        let held = self
            .traffic
            .lock()
            .unwrap()
            .held
            .take_if(|(held, ..)| is_here(*held));
        if let Some((_, arrived, may_go_on)) = held {
            arrived.send(()).unwrap();
            may_go_on.await.unwrap();
        }
    }
}

fn input(request: &HttpRequest) -> Value {
    serde_json::from_slice(request.body().bytes().unwrap()).unwrap()
}

fn signer_in(request: &HttpRequest) -> SigningKey {
    SigningKey::from_pem(&text(&input(request), "SecretString")).unwrap()
}

fn published_in(request: &HttpRequest) -> PublishedKeys {
    let input = input(request);
    let [id, keys] = ["id", "keys"].map(|name| input["Item"][name]["S"].clone());
    let version: u64 = text(&input["Item"]["version"], "N").parse().unwrap();
    serde_json::from_value(json!({ "id": id, "keys": keys, "version": version })).unwrap()
}

/// Secrets Manager, and a table of DynamoDB.
struct Aws {
    secret: Arc<Mutex<Secret>>,
    config: SdkConfig,
    table: Table,
    traffic: Arc<Mutex<Traffic>>,
}

impl Aws {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let secret = Arc::default();
        let router = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&secret));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let credentials = Credentials::new("test", "test", None, None, "test");
        let way = Way {
            traffic: Arc::default(),
            to: store::http_client(),
        };
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(way.clone())
            .endpoint_url(url)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();

        let table = testing::table_with_key(&["id"]).await;
        let client = table.client().await.config().to_builder();
        let client = client.http_client(way.clone()).build();
        let client = aws_sdk_dynamodb::Client::from_conf(client);
        Self {
            secret,
            config,
            table: Table::with_client(table.name().to_owned(), client),
            traffic: way.traffic,
        }
    }

    async fn provide(&self) -> anyhow::Result<ProvisionedKey> {
        provide_signing_key(&self.config, "signing-key", &self.table).await
    }

    async fn rotate(&self, compromised: bool) -> anyhow::Result<RotatedKey> {
        self.rotate_slowly(compromised, Duration::ZERO).await
    }

    async fn rotate_slowly(
        &self,
        compromised: bool,
        known_after: Duration,
    ) -> anyhow::Result<RotatedKey> {
        let (config, table) = (&self.config, &self.table);
        rotate_signing_key(config, "signing-key", table, compromised, known_after).await
    }

    fn fail_next(&self, call: &'static str) {
        self.traffic.lock().unwrap().fails = Some(call);
    }

    /// The next such call waits for the second channel after it has been heard of on the
    /// first.
    fn hold_next(&self, held: Held) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (arrived, has_arrived) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel();
        self.traffic.lock().unwrap().held = Some((held, arrived, may_go_on));
        (has_arrived, go_on)
    }

    fn signer(&self) -> SigningKey {
        let secret = self.secret.lock().unwrap();
        SigningKey::from_pem(secret.value.as_ref().unwrap()).unwrap()
    }

    /// What is in the table, which is what was written last.
    async fn published(&self) -> PublishedKeys {
        let client = self.table.client().await;
        let items = client.scan().table_name(self.table.name());
        let mut items = items.send().await.unwrap().items.unwrap();
        assert_eq!(items.len(), 1, "{items:?}");
        serde_dynamo::from_item(items.remove(0)).unwrap()
    }

    async fn publish(&self, keys: &PublicKeys) {
        let next = PublishedKeys::after(self.published().await.version(), keys);
        let put = self.table.client().await.put_item();
        let put = put.table_name(self.table.name());
        let put = put.set_item(Some(serde_dynamo::to_item(next).unwrap()));
        put.send().await.unwrap();
    }

    /// As if the table had been deleted and made anew.
    async fn lose_published(&self) {
        let delete = self.table.client().await.delete_item();
        let delete = delete.table_name(self.table.name());
        let id = AttributeValue::S(PublishedKeys::ID.to_owned());
        delete.key("id", id).send().await.unwrap();
        self.traffic.lock().unwrap().published.clear();
    }

    /// The published keys: what retires when.
    async fn retirements(&self) -> HashMap<String, Option<i64>> {
        let keys = self.published().await.keys().unwrap();
        let set: Value = serde_json::from_str(&keys.to_json()).unwrap();
        let keys = set["keys"].as_array().unwrap().iter();
        let all: Vec<_> = keys
            .map(|key| (text(key, "kid"), key["retiresAt"].as_i64()))
            .collect();
        let each: HashMap<_, _> = all.iter().cloned().collect();
        assert_eq!(each.len(), all.len(), "a key is there twice: {set}");
        each
    }

    async fn accepts(&self, id: &str) -> bool {
        self.published().await.keys().unwrap().contains(id)
    }

    /// The key that signs is published without an end, all others retire in time, and nothing
    /// was lost on the way there.
    async fn is_settled(&self) {
        let signer = self.signer();
        let latest = chrono::Utc::now().timestamp() + RETIRES_WITHIN;
        let retirements = self.retirements().await;
        assert_eq!(retirements.get(signer.id()), Some(&None), "{retirements:?}");
        for (id, retires_at) in &retirements {
            assert!(
                id == signer.id() || retires_at.is_some_and(|time| time < latest),
                "{id} stays: {retirements:?}"
            );
        }

        let mut published = self.traffic.lock().unwrap().published.clone();
        published.sort_by_key(PublishedKeys::version);
        for (at, one) in (1..).zip(&published) {
            assert_eq!(one.version(), at, "it is not one after the other");
        }
        for pair in published.windows(2) {
            let [before, after] = [&pair[0], &pair[1]].map(|one| one.keys().unwrap());
            let both = after.clone().and(before.clone());
            assert_eq!(both, after, "something of {before:?} is lost");
        }
    }
}

type Answer = (StatusCode, Json<Value>);

async fn answer(
    State(secret): State<Arc<Mutex<Secret>>>,
    headers: HeaderMap,
    body: String,
) -> Answer {
    let input: Value = serde_json::from_str(&body).unwrap();
    let call = headers["x-amz-target"].to_str().unwrap();
    secret.lock().unwrap().answer(call, &input)
}

fn refusal(code: &str) -> Answer {
    (StatusCode::BAD_REQUEST, Json(json!({ "__type": code })))
}

impl Secret {
    fn answer(&mut self, call: &str, input: &Value) -> Answer {
        let answer = match call {
            GET_SECRET => match &self.value {
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
                self.value = Some(value);
                json!({})
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
    assert_eq!(aws.published().await.version(), 1);

    let second = aws.rotate(false).await.unwrap();
    assert_eq!(second.succeeds.as_deref(), Some(&*first.id));
    assert_eq!(aws.signer().id(), second.id);
    assert!(aws.accepts(&first.id).await);
    aws.is_settled().await;

    let third = aws.rotate(true).await.unwrap();
    assert!(!aws.accepts(&first.id).await && !aws.accepts(&second.id).await);
    assert!(aws.accepts(&third.id).await);
    aws.is_settled().await;
}

#[tokio::test]
async fn a_key_signs_only_when_everybody_has_had_the_time_to_learn_of_it() {
    const KNOWN_AFTER: Duration = Duration::from_millis(300);
    let aws = Aws::start().await;
    aws.provide().await.unwrap();
    let (arrived, go_on) = aws.hold_next(Held::Call(PUT_SECRET));
    let started = Instant::now();
    let (rotated, ()) = tokio::join!(aws.rotate_slowly(false, KNOWN_AFTER), async {
        arrived.await.unwrap();
        assert!(started.elapsed() >= KNOWN_AFTER);
        assert_eq!(aws.retirements().await.len(), 2);
        go_on.send(()).unwrap();
    });
    rotated.unwrap();
    aws.is_settled().await;

    // But no time is left to somebody else who knows the key.
    let in_an_hour = Duration::from_hours(1);
    aws.rotate_slowly(true, in_an_hour).await.unwrap();
    aws.is_settled().await;
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
            assert_eq!(aws.retirements().await[&first.id], None, "without {call}");

            assert!(!aws.provide().await.unwrap().created);
            aws.is_settled().await;
            aws.rotate(compromised).await.unwrap();
            assert_eq!(aws.accepts(&first.id).await, !compromised);
            aws.is_settled().await;
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
        );
    aws.publish(&retired).await;
    let second = aws.provide().await.unwrap();
    assert!(second.created);
    assert!(!aws.accepts(&first.id).await);
    aws.is_settled().await;
}

#[tokio::test]
async fn keys_that_are_lost_are_published_again() {
    let aws = Aws::start().await;
    let first = aws.provide().await.unwrap();
    aws.lose_published().await;
    let again = aws.provide().await.unwrap();
    assert_eq!((again.created, &again.id), (false, &first.id));
    aws.is_settled().await;

    // And those whose secret is lost retire.
    *aws.secret.lock().unwrap() = Secret::default();
    let second = aws.provide().await.unwrap();
    assert!(second.created && aws.accepts(&first.id).await);
    aws.is_settled().await;
}

#[tokio::test]
async fn a_deployment_does_not_bring_back_a_key_that_was_compromised() {
    for held in [
        Held::AnswerTo(GET_SECRET),
        Held::AnswerTo(GET_KEYS),
        Held::Call(PUT_KEYS),
    ] {
        let aws = Aws::start().await;
        let first = aws.provide().await.unwrap();
        // So that the deployment has a key to retire.
        aws.fail_next(PUT_SECRET);
        aws.rotate(false).await.unwrap_err();
        let (arrived, go_on) = aws.hold_next(held);
        let (provided, ()) = tokio::join!(aws.provide(), async {
            arrived.await.unwrap();
            aws.rotate(true).await.unwrap();
            go_on.send(()).unwrap();
        });
        provided.unwrap();
        assert!(!aws.accepts(&first.id).await, "after {held:?}");
        aws.is_settled().await;
    }
}

#[tokio::test]
async fn what_is_published_at_the_same_time_is_not_lost() {
    for held in [
        Held::AnswerTo(GET_SECRET),
        Held::AnswerTo(GET_KEYS),
        Held::Call(PUT_KEYS),
        Held::AnswerTo(PUT_KEYS),
        Held::Call(PUT_SECRET),
        Held::AnswerTo(PUT_SECRET),
    ] {
        for (slow, quick) in [(false, false), (false, true), (true, false), (true, true)] {
            let aws = Aws::start().await;
            let first = aws.provide().await.unwrap();
            let (arrived, go_on) = aws.hold_next(held);
            let (rotated, ()) = tokio::join!(aws.rotate(slow), async {
                arrived.await.unwrap();
                aws.rotate(quick).await.unwrap();
                aws.is_settled().await;
                go_on.send(()).unwrap();
            });
            rotated.unwrap();
            assert_eq!(
                aws.accepts(&first.id).await,
                !slow && !quick,
                "after {held:?}"
            );
            aws.is_settled().await;
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
        aws.is_settled().await;

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
        assert!(!aws.accepts(&provided[0].id).await);
        aws.is_settled().await;
    }
}
