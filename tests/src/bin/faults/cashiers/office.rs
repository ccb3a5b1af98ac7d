//! Where the cashiers work: patients with accounts, a price list, and a clinician whose services are
//! charged, one of them without a price.

use serde_json::{Value, json};
use system_tests::NewPatient;
use uuid::Uuid;

use crate::{bookings, clients::Load};

/// How many patients there are.
const PATIENTS: usize = 12;

/// The price of the cheap thing, in cents: together with its tax, two of them are below the limit above
/// which two people have to agree.
const CHEAP: i64 = 4_000;

/// The price of the other one, which is above it.
const DEAR: i64 = 15_000;

/// Where nobody else works.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) patients: Vec<Uuid>,
    /// What can be charged.
    pub(super) codes: [String; 2],
    pub(super) location: Uuid,
    /// A service with a price, and one without.
    pub(super) services: [Service; 2],
}

/// What appointments are for.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) id: Uuid,
    pub(super) code: String,
    pub(super) is_priced: bool,
}

impl Office {
    /// Opens it.
    pub(crate) async fn open(load: &Load) -> Self {
        let visitor = &load.visitor().await;
        let run = Uuid::now_v7().simple().to_string();
        let code = |name: &str| format!("{name}-{}", &run[20..]);
        let codes = [code("CHECK"), code("REPAIR")];
        let [priced, unpriced] = [code("VISIT"), code("STUDY")];
        for (code, cents) in [(&codes[0], CHEAP), (&codes[1], DEAR), (&priced, CHEAP)] {
            let price = json!({
                "code": code, "description": "Something done", "amount": eur(cents),
                "taxRatePpm": 190_000, "validFrom": "2020-01-01",
            });
            visitor.post("/api/prices").json(&price).answers(201).await;
        }
        let here = json!({ "name": "Harbour Office", "timeZone": "Europe/London" });
        let location = bookings::created(visitor, "/api/locations", &here).await;
        let clinician = json!({ "kind": "CLINICIAN", "name": "Dr Dear", "locationId": location });
        let clinician = bookings::created(visitor, "/api/resources", &clinician).await;
        bookings::around_the_clock(visitor, clinician).await;
        let service = async |code: String, is_priced| {
            let service = json!({
                "code": code, "name": "Consultation", "durationMinutes": 30,
                "bufferAfterMinutes": 0, "gridMinutes": 30, "noticeMinutes": 0, "capacity": 1,
                "resourceKinds": ["CLINICIAN"], "reminderMinutes": [],
            });
            let id = bookings::created(visitor, "/api/services", &service).await;
            Service {
                id,
                code,
                is_priced,
            }
        };
        let services = [service(priced, true).await, service(unpriced, false).await];
        let mut patients = Vec::new();
        for _ in 0..PATIENTS {
            patients.push(visitor.register(&NewPatient::unique()).await.id);
        }
        Self {
            patients,
            codes,
            location,
            services,
        }
    }
}

/// An amount in cents.
pub(super) fn eur(cents: i64) -> Value {
    json!({ "currency": "EUR", "minorUnits": cents })
}
