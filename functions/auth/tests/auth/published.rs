//! The table of the public keys, as `provision` fills it.

use auth::keys_in_aws::PublicKeysTable;
use aws_sdk_dynamodb::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef,
    },
    error::BoxError,
    types::AttributeValue,
};
use identity::{PublicKeys, testing::Key};
use serde_json::Value;
use store::{Table, testing};

/// A table of public keys.
pub(crate) struct Published {
    table: Table,
}

impl Published {
    /// An empty table.
    pub(crate) async fn nothing() -> Self {
        Self {
            table: testing::table_with_key(&["id"]).await,
        }
    }

    /// A table with this key.
    pub(crate) async fn with(key: &Key) -> Self {
        let published = Self::nothing().await;
        published.publish(&key.public).await;
        published
    }

    pub(crate) async fn publish(&self, keys: &PublicKeys) {
        self.write(&keys.to_json()).await;
    }

    pub(crate) async fn write(&self, json: &str) {
        let client = self.table.client().await;
        let put = client.put_item().table_name(self.table.name());
        put.item("id", AttributeValue::S("access-tokens".to_owned()))
            .item("keys", AttributeValue::S(json.to_owned()))
            .item("version", AttributeValue::N("7".to_owned()))
            .send()
            .await
            .unwrap();
    }

    /// Deletes the table, so that every later call fails.
    pub(crate) async fn lose(&self) {
        let client = self.table.client().await;
        let delete = client.delete_table().table_name(self.table.name());
        delete.send().await.unwrap();
    }

    pub(crate) async fn keys(&self) -> PublicKeysTable {
        let config = self.table.client().await.config().to_builder();
        let client = Client::from_conf(config.interceptor(AsTheyAreNow).build());
        PublicKeysTable::new(Table::with_client(self.table.name().to_owned(), client))
    }
}

/// Checks that the keys are read consistently: a local table is always consistent, but on AWS an
/// eventually consistent read might miss the key of a new token.
#[derive(Debug)]
struct AsTheyAreNow;

impl Intercept for AsTheyAreNow {
    fn name(&self) -> &'static str {
        "AsTheyAreNow"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request().body().bytes().unwrap_or_default();
        let input: Value = serde_json::from_slice(body)?;
        assert_eq!(input["ConsistentRead"], true, "{input}");
        Ok(())
    }
}
