//! The gRPC service that keeps the books: the accounts of patients (`billing.v1.BillingService`),
//! prices, charges, invoices, payments, refunds and reports, each a service of `proto/billing/v1`,
//! along with health checking and reflection.
//!
//! A call passes through, from the outside in: its log line and metrics (`observe`), the service
//! token (`service_token`), the limit on concurrent calls (`capacity`), its deadline (`deadline`),
//! and then its use case. Health checking and reflection are open.

mod account;
mod ask_health;
mod capacity;
mod charges;
mod clinic;
mod close_account;
mod create_account;
mod database;
mod deadline;
mod delivery;
mod erase_account;
mod get_account;
mod health;
mod input;
mod invoices;
mod ledger;
mod method;
mod observe;
mod party;
mod payments;
mod prices;
mod refunds;
mod refusal;
mod refused;
mod reopen_account;
mod reports;
mod service_token;
mod settings;
mod settle;
mod update_account;
mod wire;
mod work;

use std::{future::Future, sync::Arc, time::Duration};

use axum::{Router, middleware};
use contracts::billing::v1::{
    CloseBillingAccountRequest, CloseBillingAccountResponse, CreateBillingAccountRequest,
    CreateBillingAccountResponse, EraseBillingAccountRequest, EraseBillingAccountResponse,
    GetBillingAccountRequest, GetBillingAccountResponse, ReopenBillingAccountRequest,
    ReopenBillingAccountResponse, UpdateBillingAccountRequest, UpdateBillingAccountResponse,
    billing_service_server::{BillingService, BillingServiceServer},
    charge_service_server::ChargeServiceServer,
    invoice_service_server::InvoiceServiceServer,
    payment_service_server::PaymentServiceServer,
    price_service_server::PriceServiceServer,
    refund_service_server::RefundServiceServer,
    report_service_server::ReportServiceServer,
};
use sqlx::PgPool;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    server::NamedService,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_reflection::server::Builder;

use close_account::close_account;
use create_account::create_account;
use database::once_more;
use erase_account::erase_account;
use get_account::get_account;
use refusal::refusal;
use reopen_account::reopen_account;
use update_account::update_account;
use work::Books;

pub use ask_health::{Unhealthy, ask_health};
pub use capacity::Capacity;
pub use clinic::{Clinic, Clock, InvalidClinic};
pub use service_token::{ServiceToken, WeakToken};
pub use settings::{Limits, Settings, SettingsError};

/// The largest message that the service reads, in bytes. The longest valid one, a draft of 200 lines
/// with their discounts, has 13 KiB.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// The largest set of headers that the service reads, in bytes.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// How many calls one connection may have open.
const MAX_STREAMS_PER_CONNECTION: u32 = 256;

/// The services that the process serves, beside reflection itself.
const SERVICES: [&str; 8] = [
    BillingServiceServer::<Books>::NAME,
    ChargeServiceServer::<Books>::NAME,
    InvoiceServiceServer::<Books>::NAME,
    PaymentServiceServer::<Books>::NAME,
    PriceServiceServer::<Books>::NAME,
    RefundServiceServer::<Books>::NAME,
    ReportServiceServer::<Books>::NAME,
    tonic_health::pb::health_server::SERVICE_NAME,
];

/// A connection that is silent for this long is pinged, and closed if there is no reply: callers
/// that vanish do not close it.
const SILENCE: Duration = Duration::from_mins(1);

/// How much longer than a call's deadline a stop waits for running calls.
const DRAIN_MARGIN: Duration = Duration::from_secs(1);

/// The service cannot start, or has failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors of `proto/` cannot be read.
    #[error("reflection cannot be set up")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server failed.
    #[error("the gRPC server failed")]
    Server(#[from] tonic::transport::Error),
    /// The address of the listener cannot be read.
    #[error("the listener is not usable")]
    Listener(#[from] std::io::Error),
}

/// The service and what it needs.
#[derive(Debug)]
pub struct Service {
    database: PgPool,
    token: ServiceToken,
    limits: Limits,
    clinic: Clinic,
}

impl Service {
    /// The service on this database, for callers who know the token, of a clinic in UTC that
    /// counts in euros.
    #[must_use]
    pub fn new(database: PgPool, token: ServiceToken, limits: Limits) -> Self {
        Self {
            database,
            token,
            limits,
            clinic: Clinic::default(),
        }
    }

    /// The service of this clinic.
    #[must_use]
    pub fn of(self, clinic: Clinic) -> Self {
        Self { clinic, ..self }
    }

    /// Serves until `stop` resolves; then accepts no more calls, and lets the running ones finish
    /// before it returns.
    ///
    /// # Errors
    /// If it cannot be served. A database that is down is not an error: calls get `UNAVAILABLE`
    /// until it is back.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let address = listener.local_addr()?;
        let (reporter, health) = tonic_health::server::health_reporter();
        let stopping = CancellationToken::new();
        let serving = Server::builder()
            .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .http2_keepalive_interval(Some(SILENCE))
            .serve_with_incoming_shutdown(
                self.router(health)?,
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                stopping.clone().cancelled_owned(),
            );
        tokio::pin!(serving);
        tracing::info!(%address, "listening");

        tokio::select! {
            ended = &mut serving => return Ok(ended?),
            () = health::report(&self.database, &reporter) => {}
            () = stop => {}
        }

        tracing::info!("stopping");
        health::report_stop(&reporter).await;
        stopping.cancel();
        let patience = self.limits.deadline + DRAIN_MARGIN;
        let Ok(drained) = tokio::time::timeout(patience, serving).await else {
            tracing::warn!("stopped with open connections that did not end in time");
            return Ok(());
        };
        drained?;
        self.database.close().await;
        tracing::info!("stopped");
        Ok(())
    }

    fn router(&self, health: HealthServer<impl Health>) -> Result<Router, ServeError> {
        let capacity = Capacity::new(self.limits.calls_at_a_time);
        let books = Books {
            database: self.database.clone(),
            clinic: Arc::new(self.clinic.clone()),
        };
        macro_rules! of_the_books {
            ($($server:ident),*) => {
                Router::new()$(.merge(open(
                    $server::new(books.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES),
                )))*
            };
        }
        let billing = of_the_books!(
            BillingServiceServer,
            ChargeServiceServer,
            InvoiceServiceServer,
            PaymentServiceServer,
            PriceServiceServer,
            RefundServiceServer,
            ReportServiceServer
        );
        let billing = billing
            .route_layer(middleware::from_fn_with_state(
                self.limits.deadline,
                deadline::keep,
            ))
            .route_layer(middleware::from_fn_with_state(capacity, capacity::keep))
            .route_layer(middleware::from_fn_with_state(
                self.token.clone(),
                service_token::demand,
            ))
            .route_layer(middleware::from_fn(observe::observe));

        // Tools from before 2023 only know reflection v1alpha.
        let reflection = || {
            let files = Builder::configure()
                .register_encoded_file_descriptor_set(contracts::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            SERVICES.into_iter().fold(files, Builder::with_service_name)
        };
        Ok(Router::new()
            .merge(open(health.max_decoding_message_size(MAX_MESSAGE_BYTES)))
            .merge(open(
                reflection()
                    .build_v1()?
                    .max_decoding_message_size(MAX_MESSAGE_BYTES),
            ))
            .merge(open(
                reflection()
                    .build_v1alpha()?
                    .max_decoding_message_size(MAX_MESSAGE_BYTES),
            ))
            .merge(billing)
            .fallback(|| async { refusal(Status::unimplemented("there is no such service")) }))
    }
}

/// The accounts, in the form that the generated code requires.
#[tonic::async_trait]
impl BillingService for Books {
    async fn create_billing_account(
        &self,
        request: Request<CreateBillingAccountRequest>,
    ) -> Result<tonic::Response<CreateBillingAccountResponse>, Status> {
        let request = observe::read(request);
        once_more(|| create_account(&self.database, &request))
            .await
            .map(tonic::Response::new)
    }

    async fn update_billing_account(
        &self,
        request: Request<UpdateBillingAccountRequest>,
    ) -> Result<tonic::Response<UpdateBillingAccountResponse>, Status> {
        let request = observe::read(request);
        once_more(|| update_account(&self.database, &request))
            .await
            .map(tonic::Response::new)
    }

    async fn close_billing_account(
        &self,
        request: Request<CloseBillingAccountRequest>,
    ) -> Result<tonic::Response<CloseBillingAccountResponse>, Status> {
        let request = observe::read(request);
        once_more(|| close_account(&self.database, &request))
            .await
            .map(tonic::Response::new)
    }

    async fn reopen_billing_account(
        &self,
        request: Request<ReopenBillingAccountRequest>,
    ) -> Result<tonic::Response<ReopenBillingAccountResponse>, Status> {
        let request = observe::read(request);
        once_more(|| reopen_account(&self.database, &request))
            .await
            .map(tonic::Response::new)
    }

    async fn erase_billing_account(
        &self,
        request: Request<EraseBillingAccountRequest>,
    ) -> Result<tonic::Response<EraseBillingAccountResponse>, Status> {
        let request = observe::read(request);
        once_more(|| erase_account(&self.database, &request))
            .await
            .map(tonic::Response::new)
    }

    async fn get_billing_account(
        &self,
        request: Request<GetBillingAccountRequest>,
    ) -> Result<tonic::Response<GetBillingAccountResponse>, Status> {
        let request = observe::read(request);
        once_more(|| get_account(&self.database, &request))
            .await
            .map(tonic::Response::new)
    }
}

/// Resolves when the process is asked to stop.
///
/// # Errors
/// If the operating system does not let us listen for signals.
pub fn stop_signal() -> Result<impl Future<Output = ()>, std::io::Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The routes of a service: anybody may call it, unless a layer says otherwise.
fn open<S>(service: S) -> Router
where
    S: tower::Service<axum::extract::Request, Error = std::convert::Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Response: axum::response::IntoResponse,
    S::Future: Send + 'static,
{
    Router::new().route_service(&paths_of::<S>(), service)
}

/// The paths of a service's methods.
fn paths_of<S: NamedService>() -> String {
    format!("/{}/{{method}}", S::NAME)
}
