//! A deployment of the service: its keys, sessions and login attempts.

use auth::{access::Access, attempts::Attempts, bearer_token::Gate};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::Utc;
use identity::{Role, testing::Key};
use sessions::{Lifetimes, Running, Sessions};
use sqlx::PgPool;
use store::{Table, testing};
use uuid::Uuid;

use crate::{aws::Aws, published::Published};

/// As in the template.
pub(crate) const LIFETIMES: Lifetimes = Lifetimes {
    idle: std::time::Duration::from_mins(30),
    absolute: std::time::Duration::from_hours(12),
    grace: Lifetimes::GRACE,
};

/// A signing key and tables of its own.
pub(crate) struct Deployment {
    pub(crate) key: Key,
    pub(crate) aws: Aws,
    pub(crate) published: Published,
    sessions: Table,
    attempts: Table,
}

impl Deployment {
    pub(crate) async fn new() -> Self {
        let key = Key::generate();
        Self {
            aws: Aws::with(&key).await,
            published: Published::with(&key).await,
            key,
            sessions: testing::table().await,
            attempts: testing::table().await,
        }
    }

    /// For tests that count attempts: counts begin anew with every quarter of an hour, so none may end
    /// meanwhile.
    pub(crate) async fn early_in_a_window() -> Self {
        const WINDOW: u64 = 15 * 60;
        const ENOUGH: u64 = 60;
        let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap();
        let left = WINDOW - now % WINDOW;
        if left < ENOUGH {
            tokio::time::sleep(std::time::Duration::from_secs(left)).await;
        }
        Self::new().await
    }

    pub(crate) async fn sessions(&self) -> Sessions {
        Sessions::new(same(&self.sessions).await)
    }

    /// Makes the caller of `as_caller(_, Role::Admin)` a real user with a session.
    pub(crate) async fn log_in_the_caller(&self, database: &PgPool) {
        let table = same(&self.sessions).await;
        sessions::testing::log_in_the_caller(database, table).await;
    }

    pub(crate) async fn attempts(&self) -> Attempts {
        Attempts::new(same(&self.attempts).await)
    }

    /// Moves the last refresh of the session this many milliseconds into the future.
    pub(crate) async fn rotated_later(&self, session: Uuid, milliseconds: i64) {
        let table = &self.sessions;
        let client = table.client().await;
        let update = client.update_item().table_name(table.name());
        update
            .key("pk", AttributeValue::S(format!("SESSION#{session}")))
            .key("sk", AttributeValue::S("SESSION".to_owned()))
            .update_expression("ADD rotatedAt :more")
            .expression_attribute_values(":more", AttributeValue::N(milliseconds.to_string()))
            .send()
            .await
            .unwrap();
    }

    /// Makes the session look as if it had begun before sessions had a secret.
    pub(crate) async fn has_no_secret(&self, session: Uuid) {
        let table = &self.sessions;
        let client = table.client().await;
        let update = client.update_item().table_name(table.name());
        update
            .key("pk", AttributeValue::S(format!("SESSION#{session}")))
            .key("sk", AttributeValue::S("SESSION".to_owned()))
            .update_expression("REMOVE #secret")
            .expression_attribute_names("#secret", "secret")
            .send()
            .await
            .unwrap();
    }

    /// Moves every failed attempt this many seconds into the past.
    pub(crate) async fn failed_earlier(&self, seconds: i64) {
        let table = &self.attempts;
        let client = table.client().await;
        let items = client.scan().table_name(table.name()).send().await.unwrap();
        for mut item in items.items.unwrap_or_default() {
            if !item.contains_key("failedAt") {
                continue;
            }
            item.retain(|name, _| name == "pk" || name == "sk");
            let less = AttributeValue::N((-1000 * seconds).to_string());
            let update = client.update_item().table_name(table.name());
            update
                .set_key(Some(item))
                .update_expression("ADD failedAt :less")
                .expression_attribute_values(":less", less)
                .send()
                .await
                .unwrap();
        }
    }

    /// Adds this many to the count of each source.
    pub(crate) async fn came_more_often(&self, times: u32) {
        let table = &self.attempts;
        let client = table.client().await;
        let items = client.scan().table_name(table.name()).send().await.unwrap();
        for mut item in items.items.unwrap_or_default() {
            if !item["pk"].as_s().unwrap().starts_with("SOURCE#") {
                continue;
            }
            item.retain(|name, _| name == "pk" || name == "sk");
            let update = client.update_item().table_name(table.name());
            update
                .set_key(Some(item))
                .update_expression("ADD attempts :more")
                .expression_attribute_values(":more", AttributeValue::N(times.to_string()))
                .send()
                .await
                .unwrap();
        }
    }

    /// Deletes all counted attempts.
    pub(crate) async fn forget_attempts(&self) {
        let table = &self.attempts;
        let client = table.client().await;
        let items = client.scan().table_name(table.name()).send().await.unwrap();
        for mut item in items.items.unwrap_or_default() {
            item.retain(|name, _| name == "pk" || name == "sk");
            let delete = client.delete_item().table_name(table.name());
            delete.set_key(Some(item)).send().await.unwrap();
        }
    }

    pub(crate) async fn access(&self) -> Access {
        self.access_for(LIFETIMES).await
    }

    pub(crate) async fn access_for(&self, lifetimes: Lifetimes) -> Access {
        Access::new(self.aws.signing_key(), self.sessions().await, lifetimes)
    }

    pub(crate) async fn gate(&self) -> Gate {
        Gate::new(self.published.keys().await, self.sessions().await)
    }

    /// Begins a session for this user, as a login does.
    pub(crate) async fn begin(&self, user: Uuid) -> Running {
        let sessions = self.sessions().await;
        sessions.begin(user, Utc::now(), &LIFETIMES).await.unwrap()
    }

    /// The access token of a new session of this user.
    pub(crate) async fn token(&self, user: Uuid, role: Role) -> String {
        let session = self.begin(user).await.session;
        self.key.tokens.issue(user, role, session).unwrap()
    }
}

async fn same(table: &Table) -> Table {
    Table::with_client(table.name().to_owned(), table.client().await.clone())
}

/// Attempts in a table that cannot be reached.
pub(crate) fn no_attempts() -> Attempts {
    let client = testing::client("http://127.0.0.1:1");
    Attempts::new(Table::with_client("nowhere".to_owned(), client))
}

/// Sessions in a table that cannot be reached.
pub(crate) fn no_sessions() -> Sessions {
    let client = testing::client("http://127.0.0.1:1");
    Sessions::new(Table::with_client("nowhere".to_owned(), client))
}
