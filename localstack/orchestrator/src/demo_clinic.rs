//! The demo clinic: two locations in two time zones, clinicians, rooms, services, patients, and a
//! week of appointments. It is set up over the API, as a clinic would do it, on a stack that has no
//! location yet.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::{Days, NaiveDate, Utc};
use serde_json::{Value, json};

use local_stack::progress::Step;
use local_stack::provisioning::DEMO_USERS;
use local_stack::stack_file::StackFile;

/// How long one request may take: the first one of a function starts it.
const PATIENCE: Duration = Duration::from_secs(30);

/// For how many days there are appointments.
const DAYS: u64 = 7;

/// Locations, with their clinicians. Every location has a room and a device.
const LOCATIONS: [(&str, &str, [&str; 2]); 2] = [
    (
        "Harbour Street",
        "Europe/London",
        ["Dr Amara Okafor", "Dr Idris Vaughan"],
    ),
    (
        "Hudson Square",
        "America/New_York",
        ["Dr Mei Tanaka", "Dr Luis Ortega"],
    ),
];

/// Patients, so that there is somebody to book for.
const PATIENTS: [(&str, &str); 4] = [
    ("Milo Feil", "1983-11-14"),
    ("Zoë Castellanos", "1991-02-03"),
    ("Ingrid Sørensen", "1956-07-30"),
    ("Tomasz Łukasik", "2014-05-21"),
];

struct Api {
    url: String,
    agent: ureq::Agent,
    token: String,
}

impl Api {
    fn log_in(stack: &StackFile) -> Result<Self> {
        let config = ureq::Agent::config_builder();
        let config = config.timeout_global(Some(PATIENCE)).proxy(None);
        let mut api = Self {
            url: stack.api_url.clone(),
            agent: config.build().into(),
            token: String::new(),
        };
        let user = DEMO_USERS[0];
        let login = json!({ "email": user.email, "password": user.password });
        let session = api.send("POST", "/auth/login", &login)?;
        text(&session, "token")?.clone_into(&mut api.token);
        Ok(api)
    }

    fn get(&self, path: &str) -> Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let authorization = format!("Bearer {}", self.token);
        let answer = request.header("Authorization", authorization).call();
        Ok(answer
            .with_context(|| format!("GET {path}"))?
            .body_mut()
            .read_json()?)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let request = match method {
            "PUT" => self.agent.put(url),
            _ => self.agent.post(url),
        };
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let answer = request.send_json(body);
        let answer = answer.with_context(|| format!("{method} {path} {body}"));
        Ok(answer?.body_mut().read_json()?)
    }

    fn create(&self, path: &str, body: &Value) -> Result<String> {
        Ok(text(&self.send("POST", path, body)?, "id")?.to_owned())
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name]
        .as_str()
        .with_context(|| format!("an answer without {name}"))
}

/// Sets up the demo clinic, unless the stack has a location.
///
/// # Errors
/// If the API does not accept it.
pub(crate) fn set_up(step: &Step<'_>, stack: &StackFile) -> Result<()> {
    let api = Api::log_in(stack)?;
    let known = api.get("/api/locations")?;
    if known["locations"]
        .as_array()
        .is_some_and(|known| !known.is_empty())
    {
        step.result("there is one already");
        return Ok(());
    }
    let mut clinicians = Vec::new();
    for (name, zone, names) in LOCATIONS {
        step.doing(format!("setting up {name}"));
        let location = json!({ "name": name, "timeZone": zone });
        let location = api.create("/api/locations", &location)?;
        for (kind, name) in names
            .map(|name| ("CLINICIAN", name))
            .into_iter()
            .chain([("ROOM", "Room 1"), ("DEVICE", "Ultrasound")])
        {
            let resource = json!({ "kind": kind, "name": name, "locationId": location });
            let id = api.create("/api/resources", &resource)?;
            api.send("PUT", &format!("/api/resources/{id}/hours"), &weekly(kind))?;
            if kind == "CLINICIAN" {
                clinicians.push(id);
            }
        }
    }
    let services = services(&api)?;
    let patients = patients(&api)?;
    step.doing("booking appointments");
    let booked = book(&api, &services, &clinicians, &patients)?;
    step.result(format!(
        "{} locations, {} clinicians, {booked} appointments",
        LOCATIONS.len(),
        clinicians.len()
    ));
    Ok(())
}

/// Clinicians have a lunch break, rooms have none.
fn weekly(kind: &str) -> Value {
    let windows: &[(&str, &str)] = match kind {
        "CLINICIAN" => &[("09:00", "12:30"), ("13:30", "17:00")],
        _ => &[("08:00", "18:00")],
    };
    let days = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY"];
    let weekly: Vec<Value> = days
        .iter()
        .flat_map(|day| {
            windows
                .iter()
                .map(move |(from, to)| json!({ "weekday": day, "from": from, "to": to }))
        })
        .collect();
    json!({ "weekly": weekly })
}

/// A consultation, an examination with a room and a device, and a group.
fn services(api: &Api) -> Result<Vec<String>> {
    let services = [
        json!({
            "code": "CONSULT-30", "name": "Consultation", "durationMinutes": 30,
            "bufferAfterMinutes": 0, "gridMinutes": 30, "noticeMinutes": 60, "capacity": 1,
            "resourceKinds": ["CLINICIAN"],
        }),
        json!({
            "code": "ULTRASOUND-45", "name": "Ultrasound", "durationMinutes": 45,
            "bufferAfterMinutes": 15, "gridMinutes": 30, "noticeMinutes": 1440, "capacity": 1,
            "resourceKinds": ["CLINICIAN", "ROOM", "DEVICE"],
        }),
        json!({
            "code": "BACK-GROUP", "name": "Back exercises", "durationMinutes": 60,
            "bufferAfterMinutes": 0, "gridMinutes": 60, "noticeMinutes": 0, "capacity": 6,
            "resourceKinds": ["CLINICIAN"],
        }),
    ];
    services
        .iter()
        .map(|service| api.create("/api/services", service))
        .collect()
}

fn patients(api: &Api) -> Result<Vec<String>> {
    let patients = PATIENTS.iter().enumerate().map(|(place, (name, born))| {
        let email = format!("demo-{}-{}@clinic.example", place + 1, std::process::id());
        let patient = json!({
            "name": name, "email": email, "address": "1 Main Street", "dateOfBirth": born,
        });
        api.create("/api/patients", &patient)
    });
    patients.collect()
}

/// One appointment for each clinician on each day that they work: the first free slot of a service
/// at which the patient is free, too.
fn book(
    api: &Api,
    services: &[String],
    clinicians: &[String],
    patients: &[String],
) -> Result<usize> {
    let today = Utc::now().date_naive();
    let (first, last) = (today + Days::new(1), today + Days::new(DAYS));
    let mut booked = 0;
    for (place, clinician) in clinicians.iter().enumerate() {
        let service = &services[place % services.len()];
        let patient = &patients[place % patients.len()];
        let path = format!(
            "/api/availability?serviceId={service}&from={first}&to={last}&resourceId={clinician}"
        );
        let answer = api.get(&path)?;
        let Some(slots) = answer["slots"].as_array() else {
            bail!("an answer without slots");
        };
        let mut day: Option<NaiveDate> = None;
        for slot in slots {
            let date = text(slot, "localStart")?
                .get(..10)
                .and_then(|date| date.parse().ok());
            if date == day {
                continue;
            }
            day = date;
            let booking = json!({
                "patientId": patient, "serviceId": service, "resourceIds": slot["resourceIds"],
                "start": slot["start"],
            });
            api.create("/api/appointments", &booking)?;
            booked += 1;
        }
    }
    Ok(booked)
}
