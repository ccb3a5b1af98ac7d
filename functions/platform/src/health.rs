//! Whether the system can do its work: the database, the billing service and Kafka are
//! each asked for a sign of life, at the same time and under one time limit.
//!
//! What is wrong with one of them is for the log; the answer says only that it is down.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use api::{
    State,
    layers::{Open, Repeatable, Unrecorded},
};
use axum::{Json, Router};
use billing_client::BillingClient;
use contracts::TOPICS;
use http::StatusCode;
use kafka::Cluster;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgPool};
use store::FromEnvironment;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::kafka::Kafka;

/// How long each dependency may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the system cannot do its work without.
#[derive(Debug, Clone)]
pub struct Dependencies {
    /// PostgreSQL.
    pub database: PgPool,
    /// The billing service.
    pub billing: BillingClient,
    /// Kafka.
    pub kafka: Arc<Brokers>,
}

impl FromEnvironment for Dependencies {
    fn from_environment(
        function: &'static str,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self {
            database: PgPool::from_environment(function)?,
            billing: BillingClient::from_env()?,
            kafka: Arc::new(Cluster::from_env()?.into()),
        })
    }
}

/// The brokers, and a connection to one of them once there is one. Anybody may ask for the health, and a
/// broker takes only a few new connections in a second.
#[derive(Debug)]
pub struct Brokers {
    cluster: Cluster,
    connected: Mutex<Option<Kafka>>,
}

impl From<Cluster> for Brokers {
    fn from(cluster: Cluster) -> Self {
        Self {
            cluster,
            connected: Mutex::new(None),
        }
    }
}

/// The route.
pub const ROUTE: Route<Open, Unrecorded, Repeatable> = Route::get("/health").function("health");

/// Serves the route.
pub fn routes(dependencies: Dependencies) -> Router {
    ROUTE.served_by(check_health, dependencies)
}

/// The health of the system
///
/// Asks what the system depends on for a sign of life. No access token is needed.
#[utoipa::path(
    get,
    path = ROUTE.path(),
    tag = "platform",
    responses(
        (status = 200, description = "Everything works", body = Health),
        (status = 503, description = "Something that the system depends on is down", body = Health),
    )
)]
pub(crate) async fn check_health(
    State(dependencies): State<Dependencies>,
) -> (StatusCode, Json<Health>) {
    let (database, billing, kafka) = tokio::join!(
        check("database", database(&dependencies.database)),
        check("billing", dependencies.billing.check_health()),
        check("kafka", kafka(&dependencies.kafka)),
    );
    let checks = Checks {
        database,
        billing,
        kafka,
    };
    let (status, state) = if checks.all_up() {
        (StatusCode::OK, HealthState::Up)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, HealthState::Down)
    };
    let health = Health {
        status: state,
        checks,
    };
    (status, Json(health))
}

async fn database(pool: &PgPool) -> Result<(), sqlx::Error> {
    pool.acquire().await?.ping().await
}

/// A broker that does not have our topics is of no use to us.
async fn kafka(brokers: &Brokers) -> anyhow::Result<()> {
    let mut connected = brokers.connected.lock().await;
    // It is put back once it has answered.
    let kafka = match connected.take() {
        Some(kafka) => kafka,
        None => Kafka::connect(&brokers.cluster, PATIENCE).await?,
    };
    let missing = kafka.missing(&TOPICS).await?;
    *connected = Some(kafka);
    ensure!(missing.is_empty(), "these topics do not exist: {missing:?}");
    Ok(())
}

async fn check<E: Into<anyhow::Error>>(
    dependency: &'static str,
    sign_of_life: impl Future<Output = Result<(), E>>,
) -> Check {
    let started = Instant::now();
    let outcome = match tokio::time::timeout(PATIENCE, sign_of_life).await {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(elapsed) => Err(elapsed.into()),
    };
    let status = match outcome {
        Ok(()) => HealthState::Up,
        Err(cause) => {
            let cause = format!("{cause:#}");
            tracing::error!(dependency, cause, "a dependency is down");
            HealthState::Down
        }
    };
    Check {
        status,
        latency_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// The health of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `UP` if everything is.
    pub status: HealthState,
    /// What the system depends on.
    pub checks: Checks,
}

/// The health of what the system depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checks {
    /// PostgreSQL.
    pub database: Check,
    /// The billing service.
    pub billing: Check,
    /// Kafka.
    pub kafka: Check,
}

impl Checks {
    fn all_up(&self) -> bool {
        [self.database, self.billing, self.kafka]
            .iter()
            .all(|check| check.status == HealthState::Up)
    }
}

/// One sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({ "status": "UP", "latencyMs": 3 }))]
pub struct Check {
    /// Whether it came, in time.
    pub status: HealthState,
    /// After how many milliseconds it came, or was given up.
    pub latency_ms: u64,
}

/// Whether something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthState {
    /// It does.
    Up,
    /// It does not, or too slowly.
    Down,
}
