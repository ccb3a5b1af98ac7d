//! DynamoDB tables for tests: a real table for each test, on any server of the DynamoDB API.

use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType,
        ScalarAttributeType::S as Text, TableStatus,
    },
};
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
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http_client())
            .endpoint_url(endpoint)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .build(),
    )
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
