//! What the API says of everything that was made.

use std::collections::BTreeMap;

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use crate::work::Staff;

/// How many things are asked for concurrently.
const AT_A_TIME: usize = 4;

/// What the API returned for each path: nothing for what is not there.
#[derive(Debug, Default)]
pub(crate) struct Evidence(pub(crate) BTreeMap<String, Option<Value>>);

impl Evidence {
    /// Asks for everything that was ever made.
    pub(crate) async fn look(staff: &Staff<'_>) -> Result<Self> {
        let seen = stream::iter(staff.paths())
            .map(async |path| anyhow::Ok((path.clone(), staff.look_up(path).await?)))
            .buffer_unordered(AT_A_TIME)
            .try_collect();
        Ok(Self(seen.await?))
    }
}
