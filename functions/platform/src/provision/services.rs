//! Which services use the database, and what each may do there. A service may always read and
//! write the rows of its own schema, if it has one, and call the functions in it.

/// A service that logs in to the database, with a role of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, which is also that of its schema.
    pub name: &'static str,
    /// The functions of other schemas that it calls. No other one is granted.
    pub calls: &'static [&'static str],
    /// The tables of its own schema whose rows it may add and read, and neither change nor remove.
    pub adds_to: &'static [&'static str],
}

/// The schema whose rows nobody may write, the service that it belongs to included: it reads them,
/// and calls the functions that it names itself.
pub(super) const FINAL: &str = "audit";

/// Every service that logs in to the database, by name.
pub const SERVICES: [Service; 7] = [
    Service {
        name: "appointments",
        calls: &[
            "audit.append",
            "patients.ids_of",
            "patients.is_known",
            "patients.is_restricted",
        ],
        adds_to: &[],
    },
    Service {
        name: "audit",
        calls: &[
            "audit.append",
            "audit.append_refusal_of_nobody",
            "audit.append_refusal_counts",
            "audit.note_verified",
            "auth.names_of",
            "patients.ids_of",
        ],
        adds_to: &[],
    },
    Service {
        name: "auth",
        calls: &["audit.append"],
        adds_to: &[],
    },
    Service {
        name: "billing",
        calls: &[
            "appointments.changed_since",
            "appointments.fulfilled_since",
            "audit.append",
            "notifications.send_invoice",
            "notifications.send_statement",
            "patients.account_to_open",
            "patients.canonical",
            "patients.ids_of",
            "patients.is_restricted",
        ],
        adds_to: &[
            "billing.credit_note",
            "billing.credit_note_line",
            "billing.entry",
            "billing.posting",
            "billing.price",
        ],
    },
    Service {
        name: "notifications",
        calls: &[
            "appointments.for_message",
            "audit.append",
            "billing.document_of",
            "billing.statement_of",
            "patients.contact_of",
            "patients.ids_of",
            "patients.is_restricted",
        ],
        adds_to: &[],
    },
    Service {
        name: "patients",
        calls: &["audit.append", "auth.role_now", "auth.tell_administrators"],
        adds_to: &["patients.patient_version"],
    },
    // Its health check connects, and asks nothing.
    Service {
        name: "platform",
        calls: &[],
        adds_to: &[],
    },
];

impl Service {
    /// The setting in which `provision` finds how the service logs in:
    /// `NOTIFICATIONS_DATABASE_URL`.
    #[must_use]
    pub fn setting(&self) -> String {
        let name = self.name.replace('-', "_").to_ascii_uppercase();
        format!("{name}_DATABASE_URL")
    }
}
