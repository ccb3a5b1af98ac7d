//! The part of Secrets Manager that the service calls, over HTTP.

use std::sync::{Arc, Mutex};

use auth::keys_in_aws::SigningKeySecret;
use aws_credential_types::Credentials;
use axum::{Json, Router, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use identity::testing::Key;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Debug, Default)]
struct Stored {
    secret: Option<String>,
    reads: u32,
}

/// A fake Secrets Manager and its contents.
#[derive(Debug)]
pub(crate) struct Aws {
    url: String,
    stored: Arc<Mutex<Stored>>,
}

impl Aws {
    /// Starts one that stores nothing.
    pub(crate) async fn empty() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stored = Arc::default();
        let router = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&stored));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, stored }
    }

    /// Starts one that stores the private half of this key.
    pub(crate) async fn with(key: &Key) -> Self {
        let aws = Self::empty().await;
        aws.store_secret(&key.pem);
        aws
    }

    pub(crate) fn store_secret(&self, pem: &str) {
        self.stored.lock().unwrap().secret = Some(pem.to_owned());
    }

    /// How often it was called.
    pub(crate) fn reads(&self) -> u32 {
        self.stored.lock().unwrap().reads
    }

    pub(crate) fn signing_key(&self) -> SigningKeySecret {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version_latest()
            .http_client(store::http_client())
            .region(aws_sdk_secretsmanager::config::Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(&self.url)
            .build();
        let client = aws_sdk_secretsmanager::Client::from_conf(config);
        SigningKeySecret::new("signing-key", client)
    }
}

async fn answer(
    State(stored): State<Arc<Mutex<Stored>>>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, Json<Value>) {
    let input: Value = serde_json::from_str(&body).unwrap();
    let mut stored = stored.lock().unwrap();
    stored.reads += 1;
    let target = headers["x-amz-target"].to_str().unwrap();
    let expected = ("secretsmanager.GetSecretValue", &json!("signing-key"));
    assert_eq!((target, &input["SecretId"]), expected);
    match &stored.secret {
        Some(pem) => (
            StatusCode::OK,
            Json(json!({ "Name": "signing-key", "SecretString": pem })),
        ),
        None => (
            StatusCode::BAD_REQUEST,
            Json(json!({ "__type": "ResourceNotFoundException" })),
        ),
    }
}
