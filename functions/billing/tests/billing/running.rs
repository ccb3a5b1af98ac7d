//! A billing service running on its own port.

use std::{future::Future, net::SocketAddr, time::Duration};

use billing::service::{Clinic, Limits, ServeError, Service, ServiceToken};
use billing_client::BillingClient;
use contracts::billing::v1::{
    CloseBillingAccountRequest, CreateBillingAccountRequest, GetBillingAccountRequest,
    billing_service_client::BillingServiceClient,
};
use sqlx::{PgPool, Postgres, Transaction, postgres::PgPoolOptions};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

pub(crate) const TOKEN: &str = "the-token-of-the-tests";

/// Longer than anything here takes, so only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    pub(crate) async fn start(database: &PgPool) -> Self {
        Self::start_with(database, Limits::default()).await
    }

    pub(crate) async fn start_with(database: &PgPool, limits: Limits) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), database, limits).await
    }

    /// The service of this clinic.
    pub(crate) async fn start_clinic(database: &PgPool, clinic: Clinic) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        Self::start_whole(address, database, Limits::default(), clinic).await
    }

    pub(crate) async fn start_at(address: SocketAddr, database: &PgPool, limits: Limits) -> Self {
        Self::start_whole(address, database, limits, Clinic::default()).await
    }

    async fn start_whole(
        address: SocketAddr,
        database: &PgPool,
        limits: Limits,
        clinic: Clinic,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let service =
            Service::new(database.clone(), ServiceToken::new(TOKEN).unwrap(), limits).of(clinic);
        let ended = tokio::spawn(service.serve(listener, stop.clone().cancelled_owned()));
        Self {
            address,
            stop,
            ended,
        }
    }

    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Stops the service and waits until it has stopped.
    pub(crate) async fn stop(self) {
        self.ask_to_stop();
        within(self.ended).await.unwrap().unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn client(&self) -> BillingClient {
        BillingClient::new(&self.url(), TOKEN).unwrap()
    }

    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url()).unwrap().connect_lazy()
    }

    /// The client that anybody can generate from `proto/`.
    pub(crate) fn generated_client(&self) -> BillingServiceClient<Channel> {
        BillingServiceClient::new(self.channel())
    }
}

pub(crate) fn with_token<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let authorization = format!("Bearer {TOKEN}").parse().unwrap();
    request
        .metadata_mut()
        .insert("authorization", authorization);
    request
}

pub(crate) fn create(patient_id: Uuid) -> CreateBillingAccountRequest {
    CreateBillingAccountRequest {
        patient_id: patient_id.to_string(),
        name: "Zoë Ωmega".to_owned(),
        email: "zoe@clinic.example".to_owned(),
        address: String::new(),
    }
}

pub(crate) fn get(patient_id: Uuid) -> GetBillingAccountRequest {
    GetBillingAccountRequest {
        patient_id: patient_id.to_string(),
    }
}

pub(crate) fn close(patient_id: Uuid) -> CloseBillingAccountRequest {
    CloseBillingAccountRequest {
        patient_id: patient_id.to_string(),
    }
}

/// A database that does not exist: nothing listens on its port.
pub(crate) fn nowhere() -> PgPool {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    PgPoolOptions::new()
        .acquire_timeout(Duration::from_millis(300))
        .connect_lazy(&format!("postgres://nobody@{address}/nothing"))
        .unwrap()
}

/// Opens the patient's account without committing: anybody else who opens it has to wait for the
/// end of the transaction.
pub(crate) async fn hold(database: &PgPool, patient_id: Uuid) -> Transaction<'static, Postgres> {
    let mut transaction = database.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO billing.account (id, patient_id, name, email)
         VALUES ($1, $2, 'Held', 'held@clinic.example')",
    )
    .bind(Uuid::now_v7())
    .bind(patient_id)
    .execute(&mut *transaction)
    .await
    .unwrap();
    transaction
}

/// Waits until a call is waiting for a lock in the database.
pub(crate) async fn until_a_call_waits(database: &PgPool) {
    until(async || {
        sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT FROM pg_stat_activity
                            WHERE datname = current_database() AND wait_event_type = 'Lock')",
        )
        .fetch_one(database)
        .await
        .unwrap()
    })
    .await;
}

/// Waits until the condition holds.
pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    within(async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

pub(crate) async fn within<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it should not take so long")
}
