//! The client of the billing service.

use std::{future::Future, time::Duration};

use contracts::billing::v1::{
    CloseBillingAccountRequest, CreateBillingAccountRequest, EraseBillingAccountRequest,
    GetBillingAccountRequest, ReopenBillingAccountRequest, UpdateBillingAccountRequest,
    billing_service_client::BillingServiceClient,
};
use telemetry::TraceContext;
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, ClientTlsConfig, Endpoint, Uri},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use uuid::Uuid;

use crate::{
    Account, BilledTo, BillingError, SettingsError, error::connection_was_lost, settings::setting,
};

/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a call may take, including connecting. The service is told, and stops working when
/// nobody waits any longer.
pub const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// The same for a report, which is about all patients.
pub const REPORT_DEADLINE: Duration = Duration::from_secs(5);

/// A connection that is silent for this long during a call is pinged.
const SILENCE: Duration = Duration::from_secs(1);

/// How long the reply to a ping may take before the connection is abandoned. Together with
/// [`SILENCE`], it leaves time for the call to try another connection.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// The largest response about an account, in bytes. Nothing valid comes near this size.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The service's name in the health checking protocol.
const SERVICE: &str = "billing.v1.BillingService";

/// Calls the billing service.
///
/// Connects on the first call, and again when the connection is lost. Cheap to clone; clones share
/// the connection.
#[derive(Debug, Clone)]
pub struct BillingClient {
    pub(crate) channel: Channel,
    billing: BillingServiceClient<Channel>,
    health: HealthClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

store::from_environment!(BillingClient);

impl BillingClient {
    /// The client of the service at `BILLING_URL`, with the token `BILLING_TOKEN`. Call it inside a
    /// Tokio runtime. Nothing is connected yet.
    ///
    /// # Errors
    /// If a setting is missing or cannot be used.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::new(&setting("BILLING_URL")?, &setting("BILLING_TOKEN")?)
    }

    /// The client of the service at this `http://` or `https://` URL, with this token. Call it
    /// inside a Tokio runtime. Nothing is connected yet.
    ///
    /// # Errors
    /// If one of them cannot be used.
    pub fn new(url: &str, token: &str) -> Result<Self, SettingsError> {
        let channel = endpoint(url)?.connect_lazy();
        let mut authorization: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| SettingsError::Token)?;
        authorization.set_sensitive(true);
        Ok(Self {
            billing: BillingServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            health: HealthClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES),
            channel,
            authorization,
        })
    }

    /// Opens the patient's account, or returns the existing one, so repeating the call is safe.
    ///
    /// # Errors
    /// See [`BillingError`].
    pub async fn create_account(
        &self,
        patient_id: Uuid,
        billed_to: &BilledTo<'_>,
    ) -> Result<Account, BillingError> {
        let answer = bounded(|| {
            let mut billing = self.billing.clone();
            let request = self.request(CreateBillingAccountRequest {
                patient_id: patient_id.to_string(),
                name: billed_to.name.to_owned(),
                email: billed_to.email.to_owned(),
                address: billed_to.address.to_owned(),
            });
            async move { billing.create_billing_account(request).await }
        })
        .await?;
        answer.account.try_into()
    }

    /// Keeps who invoices go to up to date. Repeating the call is safe, and an older version of the
    /// patient than the account has changes nothing.
    ///
    /// # Errors
    /// See [`BillingError`]. A missing account is an error, because accounts are opened first.
    pub async fn update_account(
        &self,
        patient_id: Uuid,
        patient_version: u64,
        billed_to: &BilledTo<'_>,
    ) -> Result<Account, BillingError> {
        let answer = bounded(|| {
            let mut billing = self.billing.clone();
            let request = self.request(UpdateBillingAccountRequest {
                patient_id: patient_id.to_string(),
                name: billed_to.name.to_owned(),
                email: billed_to.email.to_owned(),
                address: billed_to.address.to_owned(),
                patient_version,
            });
            async move { billing.update_billing_account(request).await }
        })
        .await?;
        answer.account.try_into()
    }

    /// Closes the account of a deleted patient. Repeating the call is safe.
    ///
    /// # Errors
    /// See [`BillingError`]. A missing account is an error, because accounts are opened first.
    pub async fn close_account(&self, patient_id: Uuid) -> Result<Account, BillingError> {
        let answer = bounded(|| {
            let mut billing = self.billing.clone();
            let request = self.request(CloseBillingAccountRequest {
                patient_id: patient_id.to_string(),
            });
            async move { billing.close_billing_account(request).await }
        })
        .await?;
        answer.account.try_into()
    }

    /// Opens the account of a restored patient. Repeating the call is safe.
    ///
    /// # Errors
    /// See [`BillingError`]. A missing account is an error, because accounts are opened first.
    pub async fn reopen_account(&self, patient_id: Uuid) -> Result<Account, BillingError> {
        let answer = bounded(|| {
            let mut billing = self.billing.clone();
            let request = self.request(ReopenBillingAccountRequest {
                patient_id: patient_id.to_string(),
            });
            async move { billing.reopen_billing_account(request).await }
        })
        .await?;
        answer.account.try_into()
    }

    /// Removes from the account of an erased patient who they were. Repeating the call is safe.
    ///
    /// # Errors
    /// See [`BillingError`]. A missing account is an error, because accounts are opened first.
    pub async fn erase_account(&self, patient_id: Uuid) -> Result<Account, BillingError> {
        let answer = bounded(|| {
            let mut billing = self.billing.clone();
            let request = self.request(EraseBillingAccountRequest {
                patient_id: patient_id.to_string(),
            });
            async move { billing.erase_billing_account(request).await }
        })
        .await?;
        answer.account.try_into()
    }

    /// The patient's account, or `None` if there is none.
    ///
    /// # Errors
    /// See [`BillingError`].
    pub async fn get_account(&self, patient_id: Uuid) -> Result<Option<Account>, BillingError> {
        let answer = bounded(|| {
            let mut billing = self.billing.clone();
            let request = self.request(GetBillingAccountRequest {
                patient_id: patient_id.to_string(),
            });
            async move { billing.get_billing_account(request).await }
        })
        .await;
        match answer {
            Ok(answer) => answer.account.try_into().map(Some),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status.into()),
        }
    }

    /// Checks whether the service is reachable and serving, including its database.
    ///
    /// # Errors
    /// [`BillingError::Unavailable`] if not.
    pub async fn check_health(&self) -> Result<(), BillingError> {
        let answer = bounded(|| {
            let mut health = self.health.clone();
            let request = self.request(HealthCheckRequest {
                service: SERVICE.to_owned(),
            });
            async move { health.check(request).await }
        })
        .await?;
        match answer.status() {
            ServingStatus::Serving => Ok(()),
            _ => Err(Status::unavailable("the service reports that it is not serving").into()),
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        self.request_within(CALL_DEADLINE, message)
    }

    pub(crate) fn request_within<T>(&self, deadline: Duration, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(deadline);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.authorization.clone());
        let trace = TraceContext::current().next_step().to_string();
        if let Ok(trace) = trace.parse() {
            metadata.insert(contracts::TRACEPARENT, trace);
        }
        request
    }
}

/// How to connect to the service.
fn endpoint(url: &str) -> Result<Endpoint, SettingsError> {
    let uri: Uri = url.parse().map_err(|_| SettingsError::Url)?;
    let tls = match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(_)) => false,
        (Some("https"), Some(_)) => true,
        _ => return Err(SettingsError::Url),
    };
    let endpoint = Endpoint::from(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REPORT_DEADLINE)
        .http2_keep_alive_interval(SILENCE)
        .keep_alive_timeout(LAST_CHANCE);
    if !tls {
        return Ok(endpoint);
    }
    let certificates = ClientTlsConfig::new()
        .with_webpki_roots()
        .timeout(CONNECT_TIMEOUT);
    endpoint
        .tls_config(certificates)
        .map_err(SettingsError::Tls)
}

/// The response to a call about an account: see [`bounded_by`].
async fn bounded<Answer, Call>(call: impl Fn() -> Call) -> Result<Answer, Status>
where
    Call: Future<Output = Result<Response<Answer>, Status>>,
{
    bounded_by(CALL_DEADLINE, call)
        .await
        .map(Response::into_inner)
}

/// The response to a call, within the deadline. All calls of the service may be repeated safely,
/// because changes have a request id or are idempotent: so a call that lost its connection is retried
/// on a new one.
pub(crate) async fn bounded_by<Answer, Call>(
    deadline: Duration,
    call: impl Fn() -> Call,
) -> Result<Response<Answer>, Status>
where
    Call: Future<Output = Result<Response<Answer>, Status>>,
{
    let calls = async {
        match call().await {
            Err(status) if connection_was_lost(&status) => call().await,
            outcome => outcome,
        }
    };
    tokio::time::timeout(deadline, calls)
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no response in time")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_token_is_not_in_the_debug_output() {
        let client = BillingClient::new("http://127.0.0.1:9", "hunter2").unwrap();
        assert!(!format!("{client:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn an_invalid_url_or_token_is_rejected() {
        for url in [
            "",
            "127.0.0.1:9001",
            "ftp://billing",
            "unix:/tmp/socket",
            "http://",
        ] {
            let refusal = BillingClient::new(url, "token");
            assert!(matches!(refusal, Err(SettingsError::Url)), "{url}");
        }
        assert!(BillingClient::new("https://billing.example", "token").is_ok());
        let refusal = BillingClient::new("http://billing.example", "line\nbreak");
        assert!(matches!(refusal, Err(SettingsError::Token)));
    }

    #[tokio::test]
    async fn a_refused_connection_is_unavailable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = BillingClient::new(&format!("http://{address}"), "token").unwrap();
        let outcome = client.check_health().await;
        assert!(
            matches!(outcome, Err(BillingError::Unavailable(_))),
            "{outcome:?}"
        );
    }

    #[tokio::test]
    async fn an_unresponsive_service_is_unavailable_at_the_deadline() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = BillingClient::new(&format!("http://{address}"), "token").unwrap();
        let outcome = tokio::time::timeout(CALL_DEADLINE * 5, client.get_account(Uuid::now_v7()))
            .await
            .expect("the client should give up by itself");
        assert!(
            matches!(outcome, Err(BillingError::Unavailable(_))),
            "{outcome:?}"
        );
    }
}
