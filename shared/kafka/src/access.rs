//! How a client identifies itself, and by what it recognises the brokers.

use std::{fmt, sync::Arc};

use rskafka::client::SaslConfig;
use rustls::ClientConfig;
use store::setting;

use crate::{ConnectError, SettingError, iam::Role, roots, scram::Secret};

/// How brokers let a client in.
pub(crate) enum Access {
    /// They let everybody in, without encryption.
    Unprotected,
    /// With a user's password, over TLS.
    Scram {
        tls: Arc<ClientConfig>,
        secret: Secret,
    },
    /// With a role of AWS, over TLS.
    Iam { tls: Arc<ClientConfig>, role: Role },
}

impl Access {
    pub(crate) fn from_env() -> Result<Self, SettingError> {
        let authentication = setting("KAFKA_AUTHENTICATION");
        match authentication.as_deref().unwrap_or("NONE") {
            "NONE" => Ok(Self::Unprotected),
            "SCRAM" => Ok(Self::Scram {
                tls: roots::tls()?,
                secret: Secret::named(setting("KAFKA_SECRET")?),
            }),
            "IAM" => Ok(Self::Iam {
                tls: roots::tls()?,
                role: Role::Own,
            }),
            unknown => Err(SettingError::UnknownAuthentication(unknown.to_owned())),
        }
    }

    pub(crate) fn tls(&self) -> Option<Arc<ClientConfig>> {
        match self {
            Self::Unprotected => None,
            Self::Scram { tls, .. } | Self::Iam { tls, .. } => Some(Arc::clone(tls)),
        }
    }

    pub(crate) async fn sasl(&self) -> Result<Option<SaslConfig>, ConnectError> {
        match self {
            Self::Unprotected => Ok(None),
            Self::Scram { secret, .. } => {
                Ok(Some(SaslConfig::ScramSha512(secret.credentials().await?)))
            }
            Self::Iam { role, .. } => Ok(Some(SaslConfig::Oauthbearer(role.credentials()))),
        }
    }

    pub(crate) async fn forget_credentials(&self) {
        if let Self::Scram { secret, .. } = self {
            secret.forget().await;
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unprotected => "Unprotected",
            Self::Scram { .. } => "Scram",
            Self::Iam { .. } => "Iam",
        })
    }
}
