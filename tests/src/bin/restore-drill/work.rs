//! What people at the clinic do: with patients, appointments and money. Each round changes what
//! earlier rounds have made, so that versions go on, and are given out again after a restore.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use backon::{ConstantBuilder, Retryable as _};
use chrono::{DateTime, Days, NaiveTime, Utc};
use identity::Role;
use serde_json::{Value, json};
use system_tests::{Answer, Clinic, NewPatient, Visitor};
use uuid::Uuid;

/// How many patients come again and again.
const REGULARS: usize = 4;

/// How far ahead appointments are.
const DAYS_AHEAD: u64 = 10;

/// How long a consultation takes.
const CONSULTATION: Duration = Duration::from_mins(30);

/// What is charged for, in cents.
const PRICE: i64 = 5_000;

/// Who works there, with what they have made.
pub(crate) struct Staff<'a> {
    clinic: &'a Clinic,
    visitor: Visitor,
    service: Uuid,
    location: Uuid,
    code: String,
    regulars: Vec<Regular>,
    /// Who is erased in the accident.
    unlucky: Uuid,
    /// An appointment that is moved in every round.
    restless: Uuid,
    slots: u32,
    /// Where everything is found that was ever made.
    paths: Vec<String>,
    made: Made,
    acknowledged: usize,
}

struct Regular {
    id: Uuid,
    data: NewPatient,
}

/// What was made since the beginning, or since a restore.
#[derive(Default)]
pub(crate) struct Made {
    /// Everybody who was registered.
    pub(crate) patients: Vec<Uuid>,
    /// The numbers of their records.
    pub(crate) record_numbers: Vec<i64>,
    /// What was booked, whatever became of it.
    pub(crate) booked: Vec<Uuid>,
    /// What was moved.
    pub(crate) moved: Vec<Uuid>,
    /// What somebody has cancelled.
    pub(crate) cancelled: Vec<Uuid>,
    /// What took place.
    pub(crate) fulfilled: Vec<Uuid>,
    /// The appointments of patients who were deleted.
    pub(crate) without_patient: Vec<Uuid>,
}

/// An invoice that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) number: String,
    pub(crate) patient: Uuid,
    pub(crate) cents: i64,
}

impl<'a> Staff<'a> {
    /// Opens a practice with a clinician who works around the clock.
    pub(crate) async fn open(clinic: &'a Clinic) -> Result<Self> {
        let code = |name: &str| format!("{name}-{}", &Uuid::now_v7().simple().to_string()[20..]);
        let mut staff = Self {
            visitor: clinic.log_in(Role::Admin).await,
            clinic,
            service: Uuid::nil(),
            location: Uuid::nil(),
            code: code("CHECK"),
            regulars: Vec::new(),
            unlucky: Uuid::nil(),
            restless: Uuid::nil(),
            slots: 0,
            paths: Vec::new(),
            made: Made::default(),
            acknowledged: 0,
        };
        let visit = code("VISIT");
        for code in [&staff.code.clone(), &visit] {
            let price = json!({
                "code": code, "description": "Something done", "taxRatePpm": 190_000,
                "amount": eur(PRICE), "validFrom": "2020-01-01",
            });
            staff.send("POST", "/api/prices", Some(&price)).await?;
        }
        let here = json!({ "name": "Harbour Street", "timeZone": "Europe/London" });
        staff.location = staff.create("/api/locations", &here).await?;
        let clinician = json!({
            "kind": "CLINICIAN", "name": "Dr Anew", "locationId": staff.location,
        });
        let clinician = staff.create("/api/resources", &clinician).await?;
        let weekdays = [
            "MONDAY",
            "TUESDAY",
            "WEDNESDAY",
            "THURSDAY",
            "FRIDAY",
            "SATURDAY",
            "SUNDAY",
        ];
        let weekly = weekdays.map(|day| json!({ "weekday": day, "from": "00:00", "to": "24:00" }));
        let hours = json!({ "weekly": weekly, "validFrom": "2020-01-01" });
        let path = format!("/api/resources/{clinician}/hours");
        staff.send("PUT", &path, Some(&hours)).await?;
        let service = json!({
            "code": visit, "name": "Consultation", "durationMinutes": 30,
            "bufferAfterMinutes": 0, "gridMinutes": 30, "noticeMinutes": 0, "capacity": 1,
            "resourceKinds": ["CLINICIAN"], "reminderMinutes": [60],
        });
        staff.service = staff.create("/api/services", &service).await?;
        for _ in 0..REGULARS {
            let data = NewPatient::unique();
            let id = staff.register(&data).await?;
            for list in ["charges", "payments", "invoices"] {
                let path = format!("/api/patients/{id}/{list}?limit=100");
                staff.paths.push(path);
            }
            let notifications = format!("/api/notifications?patientId={id}&limit=100");
            staff.paths.push(notifications);
            staff.regulars.push(Regular { id, data });
        }
        staff.unlucky = staff.register(&NewPatient::unique()).await?;
        // Its reminder is sent in the accident.
        staff.book(staff.regulars[3].id).await?;
        staff.restless = staff.book(staff.regulars[3].id).await?;
        Ok(staff)
    }

    /// A round of everything.
    pub(crate) async fn work(&mut self) -> Result<()> {
        self.visitor = self.clinic.log_in(Role::Admin).await;
        self.change_patients().await?;
        self.change_appointments().await?;
        self.bill(self.regulars[1].id).await?;
        Ok(())
    }

    async fn change_patients(&mut self) -> Result<()> {
        self.register(&NewPatient::unique()).await?;
        for number in 0..REGULARS {
            self.move_house(number).await?;
        }
        let path = format!("/api/patients/{}", self.regulars[0].id);
        self.send("DELETE", &path, None).await?;
        self.send("POST", &format!("{path}/restore"), None).await?;

        let passing = self.register(&NewPatient::unique()).await?;
        let appointment = self.book(passing).await?;
        self.made.without_patient.push(appointment);
        let path = format!("/api/patients/{passing}");
        self.send("DELETE", &path, None).await?;
        Ok(())
    }

    /// Changes the address of one who comes again and again.
    pub(crate) async fn move_house(&mut self, number: usize) -> Result<()> {
        let regular = &mut self.regulars[number];
        regular.data.address = format!("{} Quay Street, Galway", Uuid::new_v4());
        let path = format!("/api/patients/{}", regular.id);
        let data = serde_json::to_value(&regular.data)?;
        self.send("PUT", &path, Some(&data)).await?;
        Ok(())
    }

    async fn change_appointments(&mut self) -> Result<()> {
        let change = |id: Uuid, verb: &str| format!("/api/appointments/{id}/{verb}");
        let elsewhere = json!({ "start": self.slot(), "resourceIds": [] });
        let path = change(self.restless, "reschedule");
        self.send("POST", &path, Some(&elsewhere)).await?;
        self.made.moved.push(self.restless);
        self.book(self.regulars[0].id).await?;

        let cancelled = self.book(self.regulars[1].id).await?;
        let reason = json!({ "reason": "They are ill" });
        let path = change(cancelled, "cancel");
        self.send("POST", &path, Some(&reason)).await?;
        self.made.cancelled.push(cancelled);

        let fulfilled = self.book(self.regulars[2].id).await?;
        for verb in ["arrive", "fulfil"] {
            self.send("POST", &change(fulfilled, verb), None).await?;
        }
        self.made.fulfilled.push(fulfilled);
        Ok(())
    }

    /// Charges a patient, issues an invoice over that, and takes a part of the money.
    async fn bill(&mut self, patient: Uuid) -> Result<Issued> {
        let issued = self.issue(patient).await?;
        let payment = json!({
            "amount": eur(issued.cents / 2), "method": "CARD",
            "reference": Uuid::new_v4().to_string(),
        });
        let path = format!("/api/patients/{patient}/payments");
        let payment = self.create(&path, &payment).await?;
        self.paths.push(format!("/api/payments/{payment}"));
        Ok(issued)
    }

    /// Charges a patient, and issues an invoice over all that is billable.
    pub(crate) async fn issue(&mut self, patient: Uuid) -> Result<Issued> {
        let charge = json!({
            "code": self.code, "quantity": 1, "serviceDate": Utc::now().date_naive(),
        });
        let path = format!("/api/patients/{patient}/charges");
        self.create(&path, &charge).await?;
        let path = format!("/api/patients/{patient}/invoices");
        let draft = self.create(&path, &json!({})).await?;
        self.paths.push(format!("/api/invoices/{draft}"));
        let path = format!("/api/invoices/{draft}/issue");
        let issued = self.send("POST", &path, None).await?;
        Ok(Issued {
            number: issued["number"].as_str().unwrap_or_default().to_owned(),
            patient,
            cents: issued["total"]["minorUnits"].as_i64().unwrap_or_default(),
        })
    }

    /// Deletes and erases the one who is there for that.
    pub(crate) async fn erase_somebody(&mut self) -> Result<()> {
        self.erase(self.unlucky).await
    }

    /// Deletes and erases a patient.
    pub(crate) async fn erase(&mut self, patient: Uuid) -> Result<()> {
        let path = format!("/api/patients/{patient}");
        self.send("DELETE", &path, None).await?;
        let reason = json!({ "reason": "They have asked for it" });
        self.send("POST", &format!("{path}/erase"), Some(&reason))
            .await?;
        Ok(())
    }

    /// Registers a patient.
    async fn register(&mut self, data: &NewPatient) -> Result<Uuid> {
        let data = serde_json::to_value(data)?;
        let patient = self.send("POST", "/api/patients", Some(&data)).await?;
        let id = id_in(&patient)?;
        let number = patient["recordNumber"].as_str().unwrap_or_default();
        self.made.record_numbers.push(number.parse()?);
        self.made.patients.push(id);
        self.paths.push(format!("/api/patients/{id}"));
        Ok(id)
    }

    async fn book(&mut self, patient: Uuid) -> Result<Uuid> {
        let booking = json!({
            "patientId": patient, "serviceId": self.service, "start": self.slot(),
            "locationId": self.location, "hold": false,
        });
        let id = self.create("/api/appointments", &booking).await?;
        self.made.booked.push(id);
        self.paths.push(format!("/api/appointments/{id}"));
        Ok(id)
    }

    /// A time that nobody has taken.
    fn slot(&mut self) -> DateTime<Utc> {
        let day = Utc::now().date_naive() + Days::new(DAYS_AHEAD);
        let slot = day.and_time(NaiveTime::MIN).and_utc() + CONSULTATION * self.slots;
        self.slots += 1;
        slot
    }

    async fn create(&mut self, path: &str, body: &Value) -> Result<Uuid> {
        id_in(&self.send("POST", path, Some(body)).await?)
    }

    /// Sends a change until the API says what became of it, which has to be good.
    async fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let key = Uuid::new_v4().to_string();
        let attempt = async || {
            let call = self.visitor.call(method, path);
            let call = call.header("Idempotency-Key", &key);
            let call = match body {
                Some(body) => call.json(body),
                None => call,
            };
            understood(call.attempt().await?)
        };
        let answer = attempt.retry(patiently()).await?;
        if answer.status >= 300 {
            bail!("{method} {path} was rejected: {answer:?}");
        }
        self.acknowledged += 1;
        Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// What the API returns for this path, or nothing for a 404.
    pub(crate) async fn look_up(&self, path: &str) -> Result<Option<Value>> {
        let attempt = async || understood(self.visitor.get(path).attempt().await?);
        let answer = attempt.retry(patiently()).await?;
        match answer.status {
            200 => Ok(Some(answer.json())),
            404 => Ok(None),
            _ => bail!("GET {path}: {answer:?}"),
        }
    }

    /// Where everything is found that was made.
    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// What was made.
    pub(crate) const fn made(&self) -> &Made {
        &self.made
    }

    /// What is said of the rounds so far.
    pub(crate) fn told(&self) -> String {
        format!("{} changes are acknowledged", self.acknowledged)
    }

    /// Counts what is made from now on.
    pub(crate) fn begin_anew(&mut self) {
        self.made = Made::default();
        self.acknowledged = 0;
    }
}

fn id_in(body: &Value) -> Result<Uuid> {
    let id = body["id"].as_str().and_then(|id| id.parse().ok());
    id.with_context(|| format!("no id in {body}"))
}

/// An answer, unless the same has to be sent again.
fn understood(answer: Answer) -> Result<Answer> {
    let in_progress = answer.status == 409 && answer.header("retry-after").is_some();
    if answer.status >= 500 || in_progress {
        bail!("{answer:?}");
    }
    Ok(answer)
}

/// After a restart of the database, the first connections are broken.
fn patiently() -> ConstantBuilder {
    ConstantBuilder::default()
        .with_delay(Duration::from_millis(500))
        .with_max_times(120)
}

/// An amount in cents.
fn eur(cents: i64) -> Value {
    json!({ "currency": "EUR", "minorUnits": cents })
}
