//! The service as tests call it. Billing and Kafka are down here: no response may depend on them,
//! and no message for them may be lost.

use api::{AllowedOrigins, IfMatchRule, around};
use axum::{
    Extension, Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::Response,
};
use billing_client::BillingClient;
use http_body_util::BodyExt as _;
use identity::{
    Role,
    testing::{CALLER, as_user},
};
use kafka::Cluster;
use patients::{
    add_group_member, check_duplicates, create_group, create_patient, decide_duplicate,
    delete_patient,
    email_rule::EmailRule,
    end_relationship, erase_patient, get_family, get_group, get_patient, get_patient_version,
    list_duplicate_candidates, list_groups, list_patient_history, list_patients, merge_patients,
    open_in_emergency,
    outbox::{Delivery, Receivers},
    record_relationship, remove_group_member, replace_family, restore_patient, restrict_patient,
    search_patients, undo_merge, update_group, update_patient,
};
use serde_json::{Value, json};
use sessions::Sessions;
use sqlx::PgPool;
use store::testing;
use tokio::sync::OnceCell;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::documented::must_be_documented;

/// Deliveries fail: nothing listens on port 1.
pub(crate) fn delivery() -> Delivery {
    let billing = BillingClient::new("http://127.0.0.1:1", "a-token-that-nobody-asks-for").unwrap();
    Delivery::new(Receivers::new(billing, Cluster::unprotected("127.0.0.1:1")))
}

/// The name of the table with all sessions.
static SESSIONS: OnceCell<String> = OnceCell::const_new();

/// Makes the claims of `as_caller(_, Role::Admin)` true, for routes that check them.
pub(crate) async fn log_in_the_caller(database: &PgPool) {
    let create = async || testing::table().await.name().to_owned();
    let name = SESSIONS.get_or_init(create).await;
    sessions::testing::log_in_the_caller(database, testing::table_of(name)).await;
}

fn sessions() -> Sessions {
    let name = SESSIONS.get().map_or("nobody-is-logged-in", String::as_str);
    Sessions::new(testing::table_of(name))
}

pub(crate) fn routes(database: &PgPool) -> Router {
    routes_with(database, &delivery())
}

pub(crate) fn routes_with(database: &PgPool, delivery: &Delivery) -> Router {
    routes_of(database, delivery, EmailRule::Unique)
}

pub(crate) fn routes_of(database: &PgPool, delivery: &Delivery, rule: EmailRule) -> Router {
    let (database, delivery) = (|| database.clone(), || delivery.clone());
    around(
        "patients",
        AllowedOrigins::default(),
        Router::new()
            .merge(list_patients::routes(database()))
            .merge(get_patient::routes(database()))
            .merge(create_patient::routes(database(), delivery(), rule))
            .merge(update_patient::routes(database(), delivery(), rule))
            .merge(delete_patient::routes(database(), delivery().into()))
            .merge(restore_patient::routes(database(), delivery().into(), rule))
            .merge(erase_patient::routes(database(), delivery()))
            .merge(list_patient_history::routes(database()))
            .merge(get_patient_version::routes(database()))
            .merge(search_patients::routes(database()))
            .merge(restrict_patient::routes(database(), sessions()))
            .merge(open_in_emergency::routes(database()))
            .merge(get_family::routes(database()))
            .merge(replace_family::routes(database()))
            .merge(record_relationship::routes(database()))
            .merge(end_relationship::routes(database()))
            .merge(list_groups::routes(database()))
            .merge(create_group::routes(database()))
            .merge(get_group::routes(database()))
            .merge(update_group::routes(database()))
            .merge(add_group_member::routes(database()))
            .merge(remove_group_member::routes(database()))
            .merge(check_duplicates::routes(database(), rule))
            .merge(list_duplicate_candidates::routes(database()))
            .merge(decide_duplicate::routes(database()))
            .merge(merge_patients::routes(database(), delivery()))
            .merge(undo_merge::routes(database(), delivery())),
    )
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) body: Value,
}

#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) database: &'a PgPool,
    pub(crate) user: Uuid,
    pub(crate) role: Role,
    pub(crate) if_match: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) rule: IfMatchRule,
    pub(crate) emails: EmailRule,
}

impl<'a> Call<'a> {
    pub(crate) fn as_admin(database: &'a PgPool) -> Self {
        Self {
            database,
            user: CALLER,
            role: Role::Admin,
            if_match: None,
            key: None,
            rule: IfMatchRule::Optional,
            emails: EmailRule::Unique,
        }
    }

    pub(crate) async fn send(self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(ToString::to_string);
        self.send_text(method, path, body).await
    }

    pub(crate) async fn send_text(
        self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(tag) = self.if_match {
            request = request.header(header::IF_MATCH, tag);
        }
        if let Some(key) = self.key {
            request = request.header("Idempotency-Key", key);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(body.map_or_else(Body::empty, Body::from));
        let request = as_user(request.unwrap(), self.user, self.role);
        self.answer(request).await
    }

    async fn answer(self, request: Request<Body>) -> Answer {
        let routes = routes_of(self.database, &delivery(), self.emails);
        let routes = routes.layer(Extension(self.rule));
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = answer(routes.oneshot(request).await.unwrap()).await;
        must_be_documented(&method, &path, &answer);
        answer
    }

    /// Sends these headers and this body unchanged.
    pub(crate) async fn send_as_is(
        self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = as_user(request.body(body.into()).unwrap(), self.user, self.role);
        self.answer(request).await
    }

    pub(crate) async fn create(self, patient: &Value) -> Answer {
        self.send(Method::POST, "/api/patients", Some(patient))
            .await
    }

    pub(crate) async fn created(self, patient: &Value) -> String {
        let answer = self.create(patient).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn answer(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let text = |name| Some(parts.headers.get(name)?.to_str().unwrap().to_owned());
    let (etag, location) = (text(header::ETAG), text(header::LOCATION));
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        etag,
        location,
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        bytes,
    }
}

pub(crate) fn zoe() -> Value {
    json!({
        "name": "Zoë Ωmega 🩺",
        "email": "zoe@clinic.example",
        "address": "1 Main St",
        "dateOfBirth": "2000-02-29",
        "registeredDate": "2024-01-10",
    })
}

pub(crate) fn with(mut patient: Value, field: &str, value: impl Into<Value>) -> Value {
    patient[field] = value.into();
    patient
}

pub(crate) async fn outbox_kinds(database: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT kind FROM patients.outbox ORDER BY sequence")
        .fetch_all(database)
        .await
        .unwrap()
}

/// Waits until this query answers true.
pub(crate) async fn eventually(database: &PgPool, query: &'static str) {
    for _ in 0..500 {
        let holds: bool = sqlx::query_scalar(query).fetch_one(database).await.unwrap();
        if holds {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("never: {query}");
}
