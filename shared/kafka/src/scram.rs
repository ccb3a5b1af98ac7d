//! The user and the password that a cluster knows us by.

use futures::future::BoxFuture;
use rskafka::client::Credentials;
use serde::Deserialize;
use store::{aws_config, failure_code};
use tokio::sync::Mutex;

use crate::ConnectError;

/// A secret of Secrets Manager, `{"username":…,"password":…}`: the form that Lambda's pollers read,
/// and that MSK requires. It is read when it is first needed.
pub(crate) struct Secret {
    id: String,
    read: Mutex<Option<Credentials>>,
}

#[derive(Deserialize)]
struct Content {
    username: String,
    password: String,
}

impl Secret {
    pub(crate) fn named(id: String) -> Self {
        Self {
            id,
            read: Mutex::new(None),
        }
    }

    /// One that needs not be read.
    #[cfg(feature = "testing")]
    pub(crate) fn known(credentials: Credentials) -> Self {
        Self {
            id: String::new(),
            read: Mutex::new(Some(credentials)),
        }
    }

    pub(crate) async fn credentials(&self) -> Result<Credentials, ConnectError> {
        let mut read = self.read.lock().await;
        if let Some(credentials) = &*read {
            return Ok(credentials.clone());
        }
        Ok(read.insert(self.read().await?).clone())
    }

    /// The future of a call to AWS is so deeply nested that callers would not compile with it.
    fn read(&self) -> BoxFuture<'_, Result<Credentials, ConnectError>> {
        Box::pin(async {
            let client = aws_sdk_secretsmanager::Client::new(aws_config().await);
            let answer = client.get_secret_value().secret_id(&self.id).send().await;
            let answer = answer.map_err(|error| ConnectError::Secret(failure_code(&error)))?;
            let content = answer.secret_string().unwrap_or_default();
            // The parser's own message would quote the secret.
            let content: Content = serde_json::from_str(content)
                .map_err(|_| ConnectError::Secret("it has no username and password".to_owned()))?;
            Ok(Credentials::new(content.username, content.password))
        })
    }

    pub(crate) async fn forget(&self) {
        *self.read.lock().await = None;
    }
}
