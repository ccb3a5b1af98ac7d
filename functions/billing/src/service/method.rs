//! How money comes in, and goes out.

use contracts::billing::v1::PaymentMethod;

/// A way to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::Type, strum::IntoStaticStr)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub(crate) enum Method {
    Cash,
    Card,
    Transfer,
}

/// There is no such way to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Must be CASH, CARD or TRANSFER")]
pub(crate) struct UnknownMethod;

impl Method {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Cash, Self::Card, Self::Transfer];

    /// The name in the database.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

impl TryFrom<PaymentMethod> for Method {
    type Error = UnknownMethod;

    fn try_from(method: PaymentMethod) -> Result<Self, UnknownMethod> {
        match method {
            PaymentMethod::Cash => Ok(Self::Cash),
            PaymentMethod::Card => Ok(Self::Card),
            PaymentMethod::Transfer => Ok(Self::Transfer),
            PaymentMethod::Unspecified => Err(UnknownMethod),
        }
    }
}

impl From<Method> for PaymentMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::Cash => Self::Cash,
            Method::Card => Self::Card,
            Method::Transfer => Self::Transfer,
        }
    }
}

impl From<Method> for events::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Cash => Self::Cash,
            Method::Card => Self::Card,
            Method::Transfer => Self::Transfer,
        }
    }
}
