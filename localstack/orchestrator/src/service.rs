//! The services that a stack consists of, and what is the same for all of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A program that runs in the background while the stack is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// The database.
    Postgres,
    /// The event broker.
    Kafka,
    /// The server behind LocalStack's DynamoDB.
    Dynamodb,
    /// AWS on this machine.
    Localstack,
    /// The gRPC service of the billing domain.
    Billing,
}

impl Service {
    /// In the order in which they may be started; they are stopped the other way round.
    pub const ALL: [Self; 5] = [
        Self::Postgres,
        Self::Kafka,
        Self::Dynamodb,
        Self::Localstack,
        Self::Billing,
    ];

    /// The name on the command line, in file names and in `stack.json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::Dynamodb => "dynamodb",
            Self::Localstack => "localstack",
            Self::Billing => "billing",
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Kafka => "Kafka",
            Self::Dynamodb => "DynamoDB",
            Self::Localstack => "LocalStack",
            Self::Billing => "Billing service",
        }
    }

    /// The environment variable that sets the port.
    #[must_use]
    pub const fn port_setting(self) -> &'static str {
        match self {
            Self::Postgres => "STACK_POSTGRES_PORT",
            Self::Kafka => "STACK_KAFKA_PORT",
            Self::Dynamodb => "STACK_DYNAMODB_PORT",
            Self::Localstack => "STACK_LOCALSTACK_PORT",
            Self::Billing => "STACK_BILLING_PORT",
        }
    }

    /// The port without any setting.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Kafka => 9092,
            Self::Dynamodb => 8000,
            Self::Localstack => 4566,
            Self::Billing => 9001,
        }
    }
}

/// Reads the name on the command line.
impl FromStr for Service {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == name)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::name).join(", ");
                format!("there is no such service; there are {names}")
            })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.title())
    }
}
