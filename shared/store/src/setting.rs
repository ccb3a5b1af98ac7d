//! What the deployment tells a function, by environment variables.

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
