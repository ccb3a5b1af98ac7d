//! As much of Secrets Manager and Parameter Store as the service calls, over HTTP.

use std::sync::{Arc, Mutex};

use auth::keys_in_aws::{PublicKeysParameter, SigningKeySecret};
use aws_credential_types::Credentials;
use axum::{Json, Router, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use identity::testing::Key;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Debug, Default)]
struct Stored {
    secret: Option<String>,
    parameter: Option<String>,
    reads: u32,
}

/// The two services, and what is stored in them.
#[derive(Debug)]
pub(crate) struct Aws {
    url: String,
    stored: Arc<Mutex<Stored>>,
}

impl Aws {
    /// With nothing stored in it.
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

    /// With both halves of this key stored in it.
    pub(crate) async fn with(key: &Key) -> Self {
        let aws = Self::empty().await;
        aws.store_secret(&key.pem);
        aws.store_parameter(&key.public.to_json());
        aws
    }

    pub(crate) fn store_secret(&self, pem: &str) {
        self.stored.lock().unwrap().secret = Some(pem.to_owned());
    }

    pub(crate) fn store_parameter(&self, json: &str) {
        self.stored.lock().unwrap().parameter = Some(json.to_owned());
    }

    /// From now on the services refuse every call.
    pub(crate) fn lose_everything(&self) {
        let mut stored = self.stored.lock().unwrap();
        stored.secret = None;
        stored.parameter = None;
    }

    /// How often one of the services was asked.
    pub(crate) fn reads(&self) -> u32 {
        self.stored.lock().unwrap().reads
    }

    pub(crate) fn signing_key(&self) -> SigningKeySecret {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version_latest()
            .http_client(store::http_client())
            .region(aws_sdk_secretsmanager::config::Region::new("us-east-1"))
            .credentials_provider(credentials())
            .endpoint_url(&self.url)
            .build();
        let client = aws_sdk_secretsmanager::Client::from_conf(config);
        SigningKeySecret::new("signing-key", client)
    }

    pub(crate) fn public_keys(&self) -> PublicKeysParameter {
        let config = aws_sdk_ssm::Config::builder()
            .behavior_version_latest()
            .http_client(store::http_client())
            .region(aws_sdk_ssm::config::Region::new("us-east-1"))
            .credentials_provider(credentials())
            .endpoint_url(&self.url)
            .build();
        PublicKeysParameter::new("/public-keys", aws_sdk_ssm::Client::from_conf(config))
    }
}

fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "test")
}

async fn answer(
    State(stored): State<Arc<Mutex<Stored>>>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, Json<Value>) {
    let input: Value = serde_json::from_str(&body).unwrap();
    let mut stored = stored.lock().unwrap();
    stored.reads += 1;
    let (found, missing) = match headers["x-amz-target"].to_str().unwrap() {
        "AmazonSSM.GetParameter" if input["Name"] == "/public-keys" => (
            stored
                .parameter
                .as_ref()
                .map(|value| json!({ "Parameter": { "Name": "/public-keys", "Value": value } })),
            "ParameterNotFound",
        ),
        "secretsmanager.GetSecretValue" if input["SecretId"] == "signing-key" => (
            stored
                .secret
                .as_ref()
                .map(|pem| json!({ "Name": "signing-key", "SecretString": pem })),
            "ResourceNotFoundException",
        ),
        target => panic!("{target} of {input} is not expected"),
    };
    match found {
        Some(value) => (StatusCode::OK, Json(value)),
        None => (StatusCode::BAD_REQUEST, Json(json!({ "__type": missing }))),
    }
}
