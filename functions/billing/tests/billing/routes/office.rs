//! The office of a clinic on an empty database, and its staff, who call the routes.

use api::{AllowedOrigins, IfMatchRule, around};
use axum::{
    Extension, Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use billing::{
    Letterhead, allocate_payment, approve_refund, cancel_charge, complete_refund, credit_invoice,
    delete_invoice, draft_invoice, export_ledger, get_aging, get_billing_account, get_charge,
    get_invoice, get_invoice_document, get_payment, get_refund, get_revenue, get_statement,
    get_statement_document, get_takings, issue_invoice, list_charges, list_invoices,
    list_patient_charges, list_patient_invoices, list_patient_payments, list_prices, list_refunds,
    record_charge, record_payment, reject_refund, reject_write_off, request_refund,
    reverse_payment, send_invoice, send_statement, set_price, update_invoice, void_invoice,
    write_off_invoice,
};
use billing_client::{BilledTo, BillingClient};
use http_body_util::BodyExt as _;
use identity::{
    Role,
    testing::{CALLER, as_user},
};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::running::Running;

/// The colleague of [`CALLER`].
pub(crate) const COLLEAGUE: Uuid = Uuid::from_u128(0x0199_f7a2_6c1e_7c35_9b6c_0d2a_54f3_c1bb);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) replayed: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// Its id.
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap().to_owned()
    }

    /// The end of the problem's type.
    pub(crate) fn problem(&self) -> &str {
        let kind = self.body["type"].as_str().unwrap_or_default();
        kind.rsplit(':').next().unwrap()
    }

    /// Why billing refuses it, in one word.
    pub(crate) fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }

    /// The fields in which something is wrong.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_object();
        errors
            .into_iter()
            .flatten()
            .map(|(field, _)| field.as_str())
            .collect()
    }
}

/// The office, and who of its staff is at the desk.
#[derive(Debug, Clone)]
pub(crate) struct Office {
    pub(crate) database: PgPool,
    pub(crate) billing: BillingClient,
    user: Uuid,
    role: Role,
    key: Option<String>,
    if_match: Option<String>,
}

/// What the clinic has above its documents.
const LOGO: &[u8] = include_bytes!("logo.jpg");

/// That of a clinic in Hamburg.
fn letterhead() -> Letterhead {
    let setting = |name: &str| match name {
        "CLINIC_NAME" => Some("Praxis am Hafen".to_owned()),
        "CLINIC_ADDRESS" => Some("Hafenstraße 7 | 20459 Hamburg".to_owned()),
        "CLINIC_PAYMENT" => Some("IBAN DE02 1203 0000 0000 2020 51".to_owned()),
        "DOCUMENT_LANGUAGE" => Some("de".to_owned()),
        _ => None,
    };
    Letterhead::from_settings(setting, Some(LOGO)).unwrap()
}

fn routes(database: &PgPool, billing: &BillingClient) -> Router {
    let with = || (database.clone(), billing.clone());
    let serve = |routes: fn(PgPool, BillingClient) -> Router| {
        let (database, billing) = with();
        routes(database, billing)
    };
    let all = [
        get_billing_account::routes,
        set_price::routes,
        list_charges::routes,
        list_patient_charges::routes,
        record_charge::routes,
        cancel_charge::routes,
        get_charge::routes,
        list_invoices::routes,
        list_patient_invoices::routes,
        draft_invoice::routes,
        get_invoice::routes,
        update_invoice::routes,
        delete_invoice::routes,
        issue_invoice::routes,
        send_invoice::routes,
        void_invoice::routes,
        write_off_invoice::routes,
        reject_write_off::routes,
        credit_invoice::routes,
        list_patient_payments::routes,
        record_payment::routes,
        get_payment::routes,
        allocate_payment::routes,
        reverse_payment::routes,
        list_refunds::routes,
        request_refund::routes,
        get_refund::routes,
        approve_refund::routes,
        reject_refund::routes,
        complete_refund::routes,
        get_statement::routes,
        send_statement::routes,
        get_aging::routes,
        get_revenue::routes,
        get_takings::routes,
        export_ledger::routes,
    ];
    let routes = all.into_iter().map(serve);
    let routes = routes.fold(list_prices::routes(billing.clone()), Router::merge);
    let (pool, client) = with();
    let routes = routes.merge(get_invoice_document::routes(pool, client, letterhead()));
    let (pool, client) = with();
    let routes = routes.merge(get_statement_document::routes(pool, client, letterhead()));
    around("billing", AllowedOrigins::default(), routes)
}

impl Office {
    pub(crate) async fn open(database: PgPool) -> Self {
        let billing = Running::start(&database).await.client();
        Self {
            database,
            billing,
            user: CALLER,
            role: Role::Admin,
            key: None,
            if_match: None,
        }
    }

    pub(crate) fn acting_as(&self, role: Role) -> Self {
        Self {
            role,
            ..self.clone()
        }
    }

    /// With somebody else at the desk.
    pub(crate) fn with_colleague(&self) -> Self {
        Self {
            user: COLLEAGUE,
            ..self.clone()
        }
    }

    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) fn if_match(&self, tag: &str) -> Self {
        Self {
            if_match: Some(tag.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = &self.key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(tag) = &self.if_match {
            request = request.header(header::IF_MATCH, tag);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = as_user(request.body(body).unwrap(), self.user, self.role);
        self.answer(request).await
    }

    /// Sends a request as it is.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        let routes = routes(&self.database, &self.billing);
        let routes = routes.layer(Extension(IfMatchRule::Optional));
        let response = routes.oneshot(request).await.unwrap();
        let text = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let (etag, location) = (text("etag"), text("location"));
        let replayed = text("idempotency-replayed").is_some();
        let status = response.status();
        let headers = response.headers().clone();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            status,
            etag,
            location,
            replayed,
            headers,
            bytes: bytes.clone(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(&body)).await
    }

    /// Posts nothing.
    pub(crate) async fn post_empty(&self, path: &str) -> Answer {
        self.send(Method::POST, path, None).await
    }

    /// A new patient with an account.
    pub(crate) async fn patient(&self) -> Uuid {
        let id = Uuid::now_v7();
        let email = format!("{id}@clinic.example");
        sqlx::query(
            "INSERT INTO patients.patient
                 (id, version, name, email, address, date_of_birth, registered_date)
             VALUES ($1, 1, 'Zoë', $2, '1 Main St', '2000-01-01', '2020-01-01')",
        )
        .bind(id)
        .bind(&email)
        .execute(&self.database)
        .await
        .unwrap();
        self.open_account(id, &email).await;
        id
    }

    async fn open_account(&self, patient: Uuid, email: &str) {
        self.billing
            .create_account(patient, &BilledTo::of("Zoë", email))
            .await
            .unwrap();
    }

    /// Erases a patient in billing.
    pub(crate) async fn erase(&self, patient: Uuid) {
        self.billing.erase_account(patient).await.unwrap();
    }

    /// Restricts a patient's record.
    pub(crate) async fn restrict(&self, patient: Uuid) {
        sqlx::query("UPDATE patients.patient SET restricted = true WHERE id = $1")
            .bind(patient)
            .execute(&self.database)
            .await
            .unwrap();
    }

    /// Sets the price of a code in euro cents from the beginning of time on, with 19 % of tax.
    pub(crate) async fn price(&self, code: &str, cents: i64) -> Answer {
        let price = json!({
            "code": code, "description": format!("What {code} is"), "amount": eur(cents),
            "taxRatePpm": 190_000, "validFrom": "2020-01-01",
        });
        self.post("/api/prices", price).await
    }

    /// Charges a patient for something that was done today.
    pub(crate) async fn charge(&self, patient: Uuid, code: &str) -> Answer {
        let charge = json!({ "code": code, "serviceDate": today() });
        self.post(&format!("/api/patients/{patient}/charges"), charge)
            .await
    }

    /// Drafts an invoice of all that is billable.
    pub(crate) async fn draft(&self, patient: Uuid) -> Answer {
        self.post_empty(&format!("/api/patients/{patient}/invoices"))
            .await
    }

    /// An issued invoice of 119.00 EUR for a patient.
    pub(crate) async fn invoice(&self, patient: Uuid) -> String {
        self.price("VISIT", 10_000).await.is(201);
        self.charge(patient, "VISIT").await.is(201);
        let draft = self.draft(patient).await.is(201).id();
        self.post_empty(&format!("/api/invoices/{draft}/issue"))
            .await
            .is(200);
        draft
    }

    /// Records a payment in cash.
    pub(crate) async fn pay(&self, patient: Uuid, cents: i64, invoices: &[&str]) -> Answer {
        let payment = json!({ "amount": eur(cents), "method": "CASH", "invoiceIds": invoices });
        self.post(&format!("/api/patients/{patient}/payments"), payment)
            .await
    }

    /// What is due on an invoice, in euro cents.
    pub(crate) async fn due(&self, invoice: &str) -> i64 {
        let invoice = self.get(&format!("/api/invoices/{invoice}")).await.is(200);
        invoice.body["due"]["minorUnits"].as_i64().unwrap()
    }

    /// The actions on record about a resource, with the outcome of each.
    pub(crate) async fn recorded(&self, resource: &str) -> Vec<(String, String, Vec<Uuid>)> {
        sqlx::query_as(
            "SELECT action, outcome, patient_ids FROM audit.record
             WHERE resource_id = $1 ORDER BY occurred_at, id",
        )
        .bind(Uuid::parse_str(resource).unwrap())
        .fetch_all(&self.database)
        .await
        .unwrap()
    }
}

/// An amount in euro cents.
pub(crate) fn eur(cents: i64) -> Value {
    json!({ "currency": "EUR", "minorUnits": cents })
}

/// The date at the clinic, whose clocks show UTC.
pub(crate) fn today() -> String {
    chrono::Utc::now().date_naive().to_string()
}

/// An id that nothing has.
pub(crate) fn nothing() -> Uuid {
    Uuid::now_v7()
}
