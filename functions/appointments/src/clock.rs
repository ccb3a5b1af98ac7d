//! What time it is.

use chrono::{DateTime, SubsecRound as _, Utc};

/// Now, to the microsecond: what the database can store.
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
