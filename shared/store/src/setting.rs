//! Settings of the deployment: environment variables.

/// An environment variable that the template should have set is missing.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {0} is not set")]
pub struct MissingSetting(pub &'static str);

/// The value of a setting.
///
/// # Errors
/// If it is not set, or empty.
pub fn setting(name: &'static str) -> Result<String, MissingSetting> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .ok_or(MissingSetting(name))
}

/// Something that a function uses, found through the settings of the deployment.
pub trait FromEnvironment: Sized {
    /// Whether a request that uses it may leave work behind, which is done after its response.
    const LEAVES_WORK: bool = false;

    /// Sets it up for the function of this name. Nothing is connected yet.
    ///
    /// # Errors
    /// If a setting is missing or cannot be used.
    fn from_environment(
        function: &'static str,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>>;
}

/// Implements [`FromEnvironment`] for types that have a fallible `from_env()`.
#[macro_export]
macro_rules! from_environment {
    ($type:ty) => {
        impl $crate::FromEnvironment for $type {
            fn from_environment(
                _: &'static str,
            ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
                Self::from_env().map_err(Into::into)
            }
        }
    };
}
