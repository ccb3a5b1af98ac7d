//! A clinic on an empty database, and its staff, who call the routes. Kafka is down here: no
//! response may depend on it, and no event may be lost.

use api::{AllowedOrigins, IfMatchRule, around};
use appointments::{
    book_appointment, book_series, cancel_appointment, close_location, confirm_appointment,
    create_location, create_resource, create_service, find_availability, fulfil_appointment,
    get_appointment, get_appointment_history, join_waitlist, leave_waitlist, list_absences,
    list_appointments, list_locations, list_resources, list_services, list_waitlist, open_location,
    outbox::Delivery, record_absence, record_arrival, record_no_show, remove_absence,
    remove_exception, replace_exception, replace_hours, reschedule_appointment,
    show_appointment_link, third_next_available, use_appointment_link,
};
use axum::{
    Extension, Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use events::AppointmentEvent;
use http_body_util::BodyExt as _;
use identity::{
    Role,
    testing::{CALLER, as_user},
};
use kafka::Cluster;
use outbox::KafkaOnly;
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;
use uuid::Uuid;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<String>,
    pub(crate) replayed: bool,
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

    /// The reasons of its conflicts.
    pub(crate) fn reasons(&self) -> Vec<&str> {
        let conflicts = self.body["conflicts"].as_array();
        let conflicts = conflicts.map_or(&[][..], Vec::as_slice);
        let reasons = conflicts.iter().map(|one| one["reason"].as_str().unwrap());
        reasons.collect()
    }
}

/// The clinic.
#[derive(Debug, Clone)]
pub(crate) struct Clinic {
    pub(crate) database: PgPool,
    pub(crate) role: Role,
    pub(crate) key: Option<String>,
    pub(crate) if_match: Option<String>,
}

fn routes(database: &PgPool) -> Router {
    let delivery = || Delivery::new(KafkaOnly::new(Cluster::unprotected("127.0.0.1:1")));
    let database = || database.clone();
    around(
        "appointments",
        AllowedOrigins::default(),
        Router::new()
            .merge(create_location::routes(database()))
            .merge(list_locations::routes(database()))
            .merge(close_location::routes(database(), delivery()))
            .merge(open_location::routes(database(), delivery()))
            .merge(create_resource::routes(database()))
            .merge(list_resources::routes(database()))
            .merge(replace_hours::routes(database(), delivery()))
            .merge(replace_exception::routes(database(), delivery()))
            .merge(record_absence::routes(database(), delivery()))
            .merge(list_absences::routes(database()))
            .merge(remove_absence::routes(database(), delivery()))
            .merge(remove_exception::routes(database(), delivery()))
            .merge(create_service::routes(database()))
            .merge(list_services::routes(database()))
            .merge(find_availability::routes(database()))
            .merge(third_next_available::routes(database()))
            .merge(book_appointment::routes(database(), delivery()))
            .merge(book_series::routes(database(), delivery()))
            .merge(list_appointments::routes(database()))
            .merge(get_appointment::routes(database()))
            .merge(get_appointment_history::routes(database()))
            .merge(confirm_appointment::routes(database(), delivery()))
            .merge(reschedule_appointment::routes(database(), delivery()))
            .merge(cancel_appointment::routes(database(), delivery()))
            .merge(record_arrival::routes(database(), delivery()))
            .merge(fulfil_appointment::routes(database(), delivery()))
            .merge(record_no_show::routes(database(), delivery()))
            .merge(join_waitlist::routes(database()))
            .merge(list_waitlist::routes(database()))
            .merge(leave_waitlist::routes(database()))
            .merge(show_appointment_link::routes(database()))
            .merge(use_appointment_link::routes(database(), delivery())),
    )
}

impl Clinic {
    pub(crate) fn new(database: PgPool) -> Self {
        Self {
            database,
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

    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) fn if_version(&self, version: i64) -> Self {
        Self {
            if_match: Some(format!("\"{version}\"")),
            ..self.clone()
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
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
        let request = as_user(request.body(body).unwrap(), CALLER, self.role);
        self.answer(request).await
    }

    /// Sends a request as it is.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        let routes = routes(&self.database).layer(Extension(IfMatchRule::Optional));
        let response = routes.oneshot(request).await.unwrap();
        let text = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let (etag, replayed) = (text("etag"), text("idempotency-replayed").is_some());
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            status,
            etag,
            replayed,
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

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// A new patient.
    pub(crate) async fn patient(&self) -> String {
        let id = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO patients.patient
                 (id, version, name, email, address, date_of_birth, registered_date)
             VALUES ($1, 1, 'Zoë', $2, '1 Main St', '2000-01-01', '2020-01-01')",
        )
        .bind(id)
        .bind(format!("{id}@clinic.example"))
        .execute(&self.database)
        .await
        .unwrap();
        id.to_string()
    }

    pub(crate) async fn location(&self, zone: &str) -> String {
        let location = json!({ "name": format!("Clinic in {zone}"), "timeZone": zone });
        self.post("/api/locations", location).await.is(201).id()
    }

    pub(crate) async fn resource(&self, kind: &str, location: &str) -> String {
        let resource = json!({ "kind": kind, "name": format!("A {kind}"), "locationId": location });
        self.post("/api/resources", resource).await.is(201).id()
    }

    /// A clinician who works from one time to another on every day of the week.
    pub(crate) async fn clinician(&self, location: &str, from: &str, to: &str) -> String {
        let id = self.resource("CLINICIAN", location).await;
        self.works(&id, from, to).await;
        id
    }

    pub(crate) async fn works(&self, resource: &str, from: &str, to: &str) {
        let days = [
            "MONDAY",
            "TUESDAY",
            "WEDNESDAY",
            "THURSDAY",
            "FRIDAY",
            "SATURDAY",
            "SUNDAY",
        ];
        let weekly = days.map(|day| json!({ "weekday": day, "from": from, "to": to }));
        let path = format!("/api/resources/{resource}/hours");
        self.put(&path, json!({ "weekly": weekly })).await.is(200);
    }

    /// A service with these fields, and defaults for the others.
    pub(crate) async fn service(&self, fields: Value) -> String {
        let mut service = json!({
            "code": Uuid::now_v7().to_string()[9..].to_owned(), "name": "Consultation", "durationMinutes": 30,
            "bufferAfterMinutes": 0, "gridMinutes": 30, "noticeMinutes": 0, "capacity": 1,
            "resourceKinds": ["CLINICIAN"],
        });
        for (name, value) in fields.as_object().unwrap() {
            service[name] = value.clone();
        }
        self.post("/api/services", service).await.is(201).id()
    }

    /// The starts of the free slots: `2026-03-29T12:00:00Z`.
    pub(crate) async fn slots(
        &self,
        service: &str,
        from: &str,
        to: &str,
        more: &str,
    ) -> Vec<String> {
        let path = format!("/api/availability?serviceId={service}&from={from}&to={to}{more}");
        let answer = self.get(&path).await.is(200);
        let slots = answer.body["slots"].as_array().unwrap().iter();
        slots
            .map(|slot| slot["start"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) async fn book(
        &self,
        patient: &str,
        service: &str,
        with: &[&str],
        start: &str,
    ) -> Answer {
        let booking = json!({
            "patientId": patient, "serviceId": service, "resourceIds": with, "start": start,
            "hold": false,
        });
        self.post("/api/appointments", booking).await
    }

    pub(crate) async fn change(&self, appointment: &str, what: &str, body: Value) -> Answer {
        self.post(&format!("/api/appointments/{appointment}/{what}"), body)
            .await
    }

    /// What other services hear of an appointment, in order.
    pub(crate) async fn announced(&self, appointment: &str) -> Vec<AppointmentEvent> {
        let payloads: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT payload FROM appointments.outbox ORDER BY sequence")
                .fetch_all(&self.database)
                .await
                .unwrap();
        let events = payloads
            .iter()
            .map(|bytes| AppointmentEvent::decode(bytes).unwrap());
        let of_it = |event: &AppointmentEvent| event.appointment_id.to_string() == appointment;
        events.filter(of_it).collect()
    }

    /// The kinds of what they hear.
    pub(crate) async fn heard(&self, appointment: &str) -> Vec<&'static str> {
        let events = self.announced(appointment).await;
        events.iter().map(|event| event.change.kind()).collect()
    }

    /// Everything that takes up a resource agrees with the states, and nothing overlaps: whatever
    /// happened before.
    pub(crate) async fn must_be_consistent(&self) {
        // What was typed goes with the patient, and nothing is ever removed from the trail.
        let typed: i64 =
            sqlx::query_scalar("SELECT count(*) FROM audit.record WHERE reason IS NOT NULL")
                .fetch_one(&self.database)
                .await
                .unwrap();
        assert_eq!(typed, 0, "a reason is in the audit trail");
        let wrong: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM appointments.appointment
             WHERE (status IN ('PENDING', 'BOOKED', 'ARRIVED', 'FULFILLED')) <> (
                 cardinality(resource_ids) = (
                     SELECT count(*) FROM appointments.occupancy
                     JOIN appointments.resource ON number = resource_number
                     WHERE appointment_id = appointment.id AND resource.id = ANY(resource_ids)
                         AND lower(during) = starts_at AND upper(during) >= ends_at
                 )
             )
             OR (status IN ('CANCELLED', 'NO_SHOW') AND EXISTS (
                 SELECT FROM appointments.occupancy WHERE appointment_id = appointment.id
             ))",
        )
        .fetch_one(&self.database)
        .await
        .unwrap();
        assert_eq!(
            wrong, 0,
            "appointments whose occupancy does not agree with their status"
        );
        let histories: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM appointments.appointment
             WHERE version <> (SELECT count(*) FROM appointments.history WHERE appointment_id = id)",
        )
        .fetch_one(&self.database)
        .await
        .unwrap();
        assert_eq!(histories, 0, "appointments with gaps in their history");
    }
}

/// A date so many days from now, in UTC.
pub(crate) fn in_days(days: u64) -> String {
    let day = chrono::Utc::now().date_naive() + chrono::Days::new(days);
    day.to_string()
}

/// A time on that day.
pub(crate) fn at(days: u64, time: &str) -> String {
    format!("{}T{time}:00Z", in_days(days))
}
