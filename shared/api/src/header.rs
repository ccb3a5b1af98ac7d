//! Headers that may be sent only once.

use http::{HeaderMap, HeaderValue};

use crate::Problem;

/// The value of the header of this name, if there is one.
///
/// # Errors
/// 400 if it is there more than once, since it would be unclear which one counts.
pub fn only_header<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Problem::invalid_field(
            name,
            format!("{name} must be sent once"),
        )),
    }
}
