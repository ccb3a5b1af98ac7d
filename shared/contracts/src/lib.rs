//! What crosses a wire between the services: code generated from `proto/`, its only definition, and
//! the names that both ends must agree on.

/// The billing service's gRPC interface, version 1.
pub mod billing {
    /// Generated from `proto/billing/v1`.
    #[allow(missing_docs, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("billing.v1");
    }
}

/// What other services learn of patients, version 1.
pub mod patient {
    /// Generated from `proto/patient/v1`.
    #[allow(missing_docs, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("patient.v1");
    }
}

/// What other services learn of appointments, version 1.
pub mod appointment {
    /// Generated from `proto/appointment/v1`.
    #[allow(missing_docs, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("appointment.v1");
    }
}

/// Every message and service above as an encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The Kafka topic that carries [`patient::v1::PatientEvent`], keyed by patient id.
pub const PATIENT_EVENTS_TOPIC: &str = "patient.events.v1";

/// The Kafka topic that carries [`appointment::v1::AppointmentEvent`], keyed by patient id.
pub const APPOINTMENT_EVENTS_TOPIC: &str = "appointment.events.v1";

/// The Kafka topic that carries [`billing::v1::BillingEvent`], keyed by patient id.
pub const BILLING_EVENTS_TOPIC: &str = "billing.events.v1";

/// All Kafka topics.
pub const TOPICS: [&str; 3] = [
    PATIENT_EVENTS_TOPIC,
    APPOINTMENT_EVENTS_TOPIC,
    BILLING_EVENTS_TOPIC,
];

/// The Kafka header and gRPC metadata key of the W3C trace context
/// (<https://www.w3.org/TR/trace-context/>).
pub const TRACEPARENT: &str = "traceparent";

/// The gRPC metadata in which a call to the billing service says for whom it is: the service trusts
/// it because of the token that comes with it.
pub mod caller_metadata {
    /// The user's id, a UUID. Missing where no user is behind the call.
    pub const ACTOR_ID: &str = "x-actor-id";
    /// The user's role, as the audit trail calls it.
    pub const ACTOR_ROLE: &str = "x-actor-role";
    /// The network address that the request came from.
    pub const SOURCE: &str = "x-source";
    /// Names the request in the logs and in the audit trail.
    pub const REQUEST_ID: &str = "x-request-id";
    /// In the metadata of an answer: `true` if an earlier call with the same `request_id` got it, and
    /// this one has changed nothing.
    pub const REPLAYED: &str = "x-replayed";
}

/// The domain of every `ErrorInfo` that the billing service answers.
pub const BILLING_ERROR_DOMAIN: &str = "billing";

/// Reasons in such an `ErrorInfo` that callers tell from others with the same status.
pub mod billing_refusal {
    /// The patient has no account, or none yet.
    pub const NO_ACCOUNT: &str = "NO_ACCOUNT";
    /// The etag is not the present one.
    pub const STALE_ETAG: &str = "STALE_ETAG";
    /// The `request_id` belongs to a call with other parameters.
    pub const IDEMPOTENCY_KEY_REUSED: &str = "IDEMPOTENCY_KEY_REUSED";
}

/// The Kafka header that repeats [`patient::v1::PatientEvent::event_id`], so that a consumer can
/// name a record that it cannot decode.
pub const EVENT_ID_HEADER: &str = "event-id";
