//! Names of enums, as the database holds them.

use std::str::FromStr;

/// The database holds a name that this version of the code does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database holds an unknown {0}")]
pub(crate) struct UnknownName(&'static str);

/// The value with this name.
///
/// # Errors
/// If there is none.
pub(crate) fn stored<T: FromStr>(name: &str) -> Result<T, UnknownName> {
    name.parse()
        .map_err(|_| UnknownName(std::any::type_name::<T>()))
}
