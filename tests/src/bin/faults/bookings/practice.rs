//! Where the booking clients book: a location, a few clinicians around the clock, and a service for
//! one patient and one for three.

use serde_json::{Value, json};
use system_tests::{NewPatient, Visitor};
use uuid::Uuid;

use crate::clients::Load;

/// How many clinicians there are.
const CLINICIANS: usize = 3;

/// How many patients nobody else works on.
const PATIENTS: usize = 9;

/// When patients are reminded, in minutes before the start.
pub(crate) const REMINDERS: [i32; 2] = [60, 1440];

/// A service that can be booked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    pub(crate) id: Uuid,
    /// How many patients share a slot.
    pub(crate) capacity: usize,
}

/// A practice that nobody else books at.
#[derive(Debug)]
pub(crate) struct Practice {
    pub(crate) location: Uuid,
    pub(crate) clinicians: Vec<Uuid>,
    pub(crate) services: Vec<Service>,
    pub(crate) patients: Vec<Uuid>,
}

impl Practice {
    /// Opens it.
    pub(crate) async fn open(load: &Load) -> Self {
        let visitor = &load.visitor().await;
        let here = json!({ "name": "Harbour Street", "timeZone": "Europe/London" });
        let location = created(visitor, "/api/locations", &here).await;
        let mut clinicians = Vec::new();
        for number in 1..=CLINICIANS {
            let clinician = json!({
                "kind": "CLINICIAN", "name": format!("Dr No. {number}"), "locationId": location,
            });
            let clinician = created(visitor, "/api/resources", &clinician).await;
            around_the_clock(visitor, clinician).await;
            clinicians.push(clinician);
        }
        let mut services = Vec::new();
        for capacity in [1, 3] {
            let service = json!({
                "code": Uuid::now_v7().simple().to_string(), "name": "Consultation",
                "durationMinutes": 30, "bufferAfterMinutes": 0, "gridMinutes": 30,
                "noticeMinutes": 0, "capacity": capacity, "resourceKinds": ["CLINICIAN"],
                "reminderMinutes": REMINDERS,
            });
            services.push(Service {
                id: created(visitor, "/api/services", &service).await,
                capacity,
            });
        }
        let mut patients = Vec::new();
        for _ in 0..PATIENTS {
            patients.push(visitor.register(&NewPatient::unique()).await.id);
        }
        Self {
            location,
            clinicians,
            services,
            patients,
        }
    }
}

/// Creates something, and returns its id.
pub(crate) async fn created(visitor: &Visitor, path: &str, body: &Value) -> Uuid {
    #[derive(serde::Deserialize)]
    struct Created {
        id: Uuid,
    }
    let answer = visitor.post(path).json(body).answers(201).await;
    answer.read::<Created>().id
}

/// Lets a clinician work at any time.
pub(crate) async fn around_the_clock(visitor: &Visitor, clinician: Uuid) {
    let days = [
        "MONDAY",
        "TUESDAY",
        "WEDNESDAY",
        "THURSDAY",
        "FRIDAY",
        "SATURDAY",
        "SUNDAY",
    ];
    let weekly = days.map(|day| json!({ "weekday": day, "from": "00:00", "to": "24:00" }));
    let hours = json!({ "weekly": weekly, "validFrom": "2020-01-01" });
    let path = format!("/api/resources/{clinician}/hours");
    visitor.put(&path).json(&hours).answers(200).await;
}
