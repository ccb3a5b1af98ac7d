//! The token with which a role of AWS connects to MSK: a signed URL, made without asking anybody.
//!
//! <https://github.com/aws/aws-msk-iam-sasl-signer-python> is AWS's own, and what the test compares
//! with.

use std::{sync::Arc, time::SystemTime};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rskafka::client::OauthBearerCredentials;
use store::{Presigned, aws_config, setting};

/// What AWS's own signer appends here is its name, so that MSK's log shows who connects.
const USER_AGENT: &str = concat!("patient-management%2F", env!("CARGO_PKG_VERSION"));

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Who connects.
#[derive(Clone)]
pub(crate) enum Role {
    /// The role that this runs with.
    Own,
    /// One that needs no settings, in a region.
    #[cfg(feature = "testing")]
    Known(SharedCredentialsProvider, String),
}

impl Role {
    /// A new token for each connection. MSK looks at it when the connection is opened, and ends the
    /// session when the token does: the next connection has the next token.
    pub(crate) fn credentials(&self) -> OauthBearerCredentials {
        let role = self.clone();
        OauthBearerCredentials {
            callback: Arc::new(move || Box::pin(role.clone().current_token())),
            authz_id: None,
            bearer_kvs: Vec::new(),
        }
    }

    async fn current_token(self) -> Result<String, Failure> {
        let (provider, region) = self.found().await?;
        let credentials = provider.provide_credentials().await?;
        token(credentials, &region, SystemTime::now())
    }

    async fn found(self) -> Result<(SharedCredentialsProvider, String), Failure> {
        match self {
            Self::Own => {
                let provider = aws_config().await.credentials_provider();
                let provider = provider.ok_or("this runs without a role")?;
                Ok((provider, setting("AWS_REGION")?))
            }
            #[cfg(feature = "testing")]
            Self::Known(provider, region) => Ok((provider, region)),
        }
    }
}

/// `https://kafka.<region>.amazonaws.com/?Action=kafka-cluster:Connect`, signed (Signature Version 4,
/// in the query) and in base64url.
fn token(credentials: Credentials, region: &str, now: SystemTime) -> Result<String, Failure> {
    let request = Presigned {
        service: "kafka-cluster",
        region,
        host: &format!("kafka.{region}.amazonaws.com"),
        query: &[("Action", "kafka-cluster:Connect")],
    };
    let mut url = format!("https://{}", request.url(credentials, now)?);
    // It is not a part of what is signed.
    url.push_str("&User-Agent=");
    url.push_str(USER_AGENT);
    Ok(URL_SAFE_NO_PAD.encode(url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, time::Duration};

    const TIME: Duration = Duration::from_secs(1_790_000_000);

    /// What is in a token, by name.
    fn parameters(token: &str) -> BTreeMap<String, String> {
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
        let (address, query) = url.split_once('?').unwrap();
        assert_eq!(address, "https://kafka.eu-central-1.amazonaws.com/");
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn of(session: Option<&str>) -> BTreeMap<String, String> {
        let credentials = Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            session.map(ToOwned::to_owned),
            None,
            "test",
        );
        let now = SystemTime::UNIX_EPOCH + TIME;
        parameters(&token(credentials, "eu-central-1", now).unwrap())
    }

    // The expected values are those of `SigV4QueryAuth` in botocore 1.42.34, at the same time and with
    // the same keys.
    #[test]
    fn a_token_is_what_aws_itself_would_sign() {
        let expected = [
            ("Action", "kafka-cluster%3AConnect"),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            (
                "X-Amz-Credential",
                "AKIAIOSFODNN7EXAMPLE%2F20260921%2Feu-central-1%2Fkafka-cluster%2Faws4_request",
            ),
            ("X-Amz-Date", "20260921T141320Z"),
            ("X-Amz-Expires", "900"),
            ("X-Amz-SignedHeaders", "host"),
            (
                "X-Amz-Signature",
                "ffc37539b34d3480a917c116d542a6144b83455cba333e9606599035ee5f34b1",
            ),
            ("User-Agent", "patient-management%2F0.1.0"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(of(None), BTreeMap::from(expected));
    }

    #[test]
    fn the_session_of_a_role_is_signed_as_well() {
        let parameters = of(Some("a session/with+signs=="));
        assert_eq!(
            parameters["X-Amz-Security-Token"],
            "a%20session%2Fwith%2Bsigns%3D%3D"
        );
        assert_eq!(
            parameters["X-Amz-Signature"],
            "118d29103b3bc3b4e2f5a2d8df1674ea4ccdcf436da827331cd8cfe9cf55efa0"
        );
    }
}
