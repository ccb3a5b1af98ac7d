//! Pages of lists: the service's page token is what is in a client's cursor.

use api::{Cursor, Limit};

/// How many items the service is asked for.
pub(crate) fn size(limit: Limit) -> i32 {
    i32::try_from(limit.items()).unwrap_or(i32::MAX)
}

/// Where the service goes on; from the beginning without a cursor.
pub(crate) fn token(cursor: Option<Cursor<String>>) -> String {
    cursor.map(|Cursor(token)| token).unwrap_or_default()
}

/// The cursor of the next page, if there is one.
pub(crate) fn next_cursor(token: String) -> Option<String> {
    (!token.is_empty()).then(|| Cursor(token).encode())
}
