//! Stores for tests: a real DynamoDB table for each test, on any server of the DynamoDB API, and where the
//! PostgreSQL database of a test is.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use aws_sdk_dynamodb::{
    Client, Config,
    config::{
        BehaviorVersion, Builder, ConfigBag, Credentials, Intercept, Region, RuntimeComponents,
        interceptors::{
            BeforeDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextRef,
            BeforeTransmitInterceptorContextRef,
        },
    },
    error::BoxError,
    operation::{batch_get_item::BatchGetItemInput, transact_write_items::TransactWriteItemsInput},
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType,
        ScalarAttributeType::S as Text, TableStatus,
    },
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{Table, http_client};

/// Where the DynamoDB API is served. It must be set, so that no test reaches AWS by accident.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";

/// A new, empty table with the key that most of our tables have: `pk` and `sk`, both strings.
///
/// # Panics
/// If `AWS_ENDPOINT_URL_DYNAMODB` is not set, or does not serve the DynamoDB API.
pub async fn table() -> Table {
    table_with_key(&["pk", "sk"]).await
}

/// A new, empty table with these key attributes, all strings: a partition key, and optionally a
/// sort key.
///
/// # Panics
/// If `AWS_ENDPOINT_URL_DYNAMODB` is not set, or does not serve the DynamoDB API.
pub async fn table_with_key(key: &[&str]) -> Table {
    let endpoint = endpoint();
    let client = client(&endpoint);
    let name = format!("test-{}", Uuid::now_v7());
    create(&client, &name, key)
        .await
        .unwrap_or_else(|error| panic!("no table at {endpoint}: {error:?}"));
    Table::with_client(name, client)
}

/// The URL of a test's database, for a process of its own: the server is the one of `DATABASE_URL`. What
/// sqlx makes of its options names the file of the certificate in a way that it does not read itself.
///
/// # Panics
/// If `DATABASE_URL` is not set, or names no database.
#[must_use]
pub fn url_of(database: &PgPool) -> String {
    let server = std::env::var("DATABASE_URL").unwrap_or_default();
    let (server, options) = server.split_once('?').unwrap_or((&server, ""));
    let (Some((server, _)), Some(name)) = (
        server.rsplit_once('/'),
        database
            .connect_options()
            .get_database()
            .map(ToOwned::to_owned),
    ) else {
        panic!("set DATABASE_URL to a database of the tests' server");
    };
    format!("{server}/{name}?{options}")
}

/// The table of this name, which the test has created before.
///
/// # Panics
/// If `AWS_ENDPOINT_URL_DYNAMODB` is not set.
#[must_use]
pub fn table_of(name: &str) -> Table {
    Table::with_client(name.to_owned(), client(&endpoint()))
}

/// A client of the DynamoDB API at this URL.
#[must_use]
pub fn client(endpoint: &str) -> Client {
    Client::from_conf(config(endpoint).build())
}

fn config(endpoint: &str) -> Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client())
        .endpoint_url(endpoint)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
}

fn endpoint() -> String {
    std::env::var(ENDPOINT)
        .unwrap_or_else(|_| panic!("set {ENDPOINT} to where the DynamoDB API is served"))
}

async fn create(client: &Client, name: &str, key: &[&str]) -> Result<(), aws_sdk_dynamodb::Error> {
    let mut request = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest);
    for (attribute, key_type) in key.iter().zip([KeyType::Hash, KeyType::Range]) {
        request = request
            .attribute_definitions(
                AttributeDefinition::builder()
                    .attribute_name(*attribute)
                    .attribute_type(Text)
                    .build()?,
            )
            .key_schema(
                KeySchemaElement::builder()
                    .attribute_name(*attribute)
                    .key_type(key_type)
                    .build()?,
            );
    }
    request.send().await?;
    while !is_active(client, name).await? {
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn is_active(client: &Client, name: &str) -> Result<bool, aws_sdk_dynamodb::Error> {
    let description = client.describe_table().table_name(name).send().await?;
    let status = description.table.and_then(|table| table.table_status);
    Ok(status == Some(TableStatus::Active))
}

/// The calls of a table, counted, and broken if a test wants that.
#[derive(Clone, Default)]
pub struct Wire(Arc<Calls>);

#[derive(Default)]
struct Calls {
    transactions: AtomicUsize,
    items: AtomicUsize,
    items_read: AtomicUsize,
    breaks: OnceLock<Box<dyn Fn() -> Option<Break> + Send + Sync>>,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// It does not reach the table.
    Request,
    /// The table does what it says, and the response is lost.
    Response,
}

impl Wire {
    /// Breaks calls, each of which it asks about twice: when it is sent, and when it is answered.
    ///
    /// # Panics
    /// If something breaks them already.
    pub fn break_by(&self, breaks: impl Fn() -> Option<Break> + Send + Sync + 'static) {
        let is_first = self.0.breaks.set(Box::new(breaks)).is_ok();
        assert!(is_first, "something breaks the calls already");
    }

    /// How many transactions were begun.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.0.transactions.load(Ordering::Relaxed)
    }

    /// How many items they were to write.
    #[must_use]
    pub fn items(&self) -> usize {
        self.0.items.load(Ordering::Relaxed)
    }

    /// How many items were to be read by their keys.
    #[must_use]
    pub fn items_read(&self) -> usize {
        self.0.items_read.load(Ordering::Relaxed)
    }

    fn fails(&self, with: Break) -> Result<(), BoxError> {
        let broken = self.0.breaks.get().and_then(|breaks| breaks());
        if broken == Some(with) {
            return Err(format!("the {with:?} is lost").into());
        }
        Ok(())
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Intercept for Wire {
    fn name(&self) -> &'static str {
        "Wire"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(call) = context.input().downcast_ref::<TransactWriteItemsInput>() {
            self.0.transactions.fetch_add(1, Ordering::Relaxed);
            let items = call.transact_items().len();
            self.0.items.fetch_add(items, Ordering::Relaxed);
        }
        if let Some(call) = context.input().downcast_ref::<BatchGetItemInput>() {
            let tables = call.request_items().into_iter().flatten();
            let items = tables.map(|(_, items)| items.keys().len()).sum();
            self.0.items_read.fetch_add(items, Ordering::Relaxed);
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.fails(Break::Request)
    }

    fn read_before_deserialization(
        &self,
        _: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.fails(Break::Response)
    }
}

/// A new, empty table, and the wire to it.
///
/// # Panics
/// If `AWS_ENDPOINT_URL_DYNAMODB` is not set, or does not serve the DynamoDB API.
pub async fn wired_table() -> (Table, Wire) {
    let table = table().await;
    let wire = Wire::default();
    let config = config(&endpoint()).interceptor(wire.clone()).build();
    let table = Table::with_client(table.name().to_owned(), Client::from_conf(config));
    (table, wire)
}
