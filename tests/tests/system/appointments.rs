//! From free slots to what becomes of an appointment, over the deployed system.

use chrono::{Days, NaiveDate, Utc};
use identity::Role;
use serde_json::{Value, json};
use system_tests::{Answer, Clinic, Patient, Visitor, eventually};
use uuid::Uuid;

/// A clinician who works around the clock, and a service of theirs.
struct Practice {
    location: String,
    clinician: String,
    service: String,
}

async fn created(visitor: &Visitor, path: &str, body: Value) -> String {
    let answer = visitor.post(path).json(&body).answers(201).await.json();
    answer["id"].as_str().unwrap().to_owned()
}

async fn practice(admin: &Visitor, zone: &str, service: Value) -> Practice {
    let here = json!({ "name": "Harbour Street", "timeZone": zone });
    let location = created(admin, "/api/locations", here).await;
    let clinician =
        json!({ "kind": "CLINICIAN", "name": "Dr Amara Okafor", "locationId": location });
    let clinician = created(admin, "/api/resources", clinician).await;
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
    admin.put(&path).json(&hours).answers(200).await;
    let mut fields = json!({
        "code": Uuid::now_v7().simple().to_string(), "name": "Oncology", "durationMinutes": 30,
        "bufferAfterMinutes": 0, "gridMinutes": 30, "noticeMinutes": 0, "capacity": 1,
        "resourceKinds": ["CLINICIAN"],
    });
    for (name, value) in service.as_object().unwrap() {
        fields[name] = value.clone();
    }
    Practice {
        location,
        clinician,
        service: created(admin, "/api/services", fields).await,
    }
}

impl Practice {
    async fn book(&self, visitor: &Visitor, patient: &Patient, start: &str) -> Answer {
        let booking = json!({
            "patientId": patient.id, "serviceId": self.service, "resourceIds": [self.clinician],
            "start": start, "hold": false,
        });
        visitor
            .post("/api/appointments")
            .json(&booking)
            .answer()
            .await
    }
}

fn day(from_now: u64) -> NaiveDate {
    Utc::now().date_naive() + Days::new(from_now)
}

#[tokio::test]
async fn a_patient_is_booked_told_moved_told_again_and_comes() {
    let clinic = Clinic::open();
    let admin = clinic.administrator().await;
    let desk = clinic.log_in(Role::Receptionist).await;
    let practice = practice(&admin, "Europe/London", json!({})).await;
    let patient = admin.register_somebody().await;
    let path = format!(
        "/api/availability?serviceId={}&from=2027-03-28&to=2027-03-28&resourceId={}",
        practice.service, practice.clinician
    );
    let slots = desk.get(&path).answers(200).await.json();
    // The clocks are put forward: a day of 23 hours.
    assert_eq!(slots["slots"].as_array().unwrap().len(), 46);
    let start = slots["slots"][20]["start"].as_str().unwrap();
    let booked = practice.book(&desk, &patient, start).await;
    assert_eq!(booked.status, 201, "{booked:?}");
    let id = booked.json()["id"].as_str().unwrap().to_owned();
    let again = desk.get(&path).answers(200).await.json();
    assert_eq!(again["slots"].as_array().unwrap().len(), 45);

    let of = |what: &str| format!("/api/appointments/{id}/{what}");
    let to = json!({ "start": "2027-03-29T12:00:00Z" });
    let moved = desk.post(&of("reschedule")).json(&to).answers(200).await;
    assert_eq!(moved.json()["localStart"], "2027-03-29T13:00:00+01:00");
    let mails = eventually("both messages", async || {
        let mails = clinic.aws().mail_to(&patient.email).await;
        let texts: Vec<String> = mails.into_iter().map(|mail| mail.whole()).collect();
        let texts: Vec<String> = texts
            .into_iter()
            .filter(|text| text.contains("BEGIN:VEVENT"))
            .collect();
        let moved = texts.iter().any(|text| text.contains("SEQUENCE:1"));
        moved.then_some(texts)
    })
    .await;
    for mail in &mails {
        assert!(mail.contains(&format!("UID:{id}")), "{mail}");
        for health in ["Oncology", "Okafor"] {
            assert!(!mail.contains(health), "{mail}");
        }
    }
    desk.post(&of("arrive")).answers(200).await;
    desk.post(&of("fulfil")).answers(200).await;
    let history = desk.get(&of("history")).answers(200).await.json();
    let changes: Vec<&str> = history["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["BOOKED", "RESCHEDULED", "ARRIVED", "FULFILLED"]);
    let list = format!(
        "/api/appointments?patientId={}&status=FULFILLED",
        patient.id
    );
    let list = desk.get(&list).answers(200).await.json();
    assert_eq!(list["appointments"][0]["id"], id);
}

#[tokio::test]
async fn of_many_who_want_a_slot_one_gets_it() {
    let clinic = Clinic::open();
    let admin = clinic.administrator().await;
    let practice = practice(&admin, "UTC", json!({})).await;
    let mut patients = Vec::new();
    for _ in 0..4 {
        patients.push(admin.register_somebody().await);
    }
    let start = format!("{}T10:00:00Z", day(9));
    let wishes = (0..40).map(|place| practice.book(&admin, &patients[place % 4], &start));
    let answers = futures::future::join_all(wishes).await;
    let with = |status: u16| answers.iter().filter(|one| one.status == status).count();
    assert_eq!((with(201), with(409)), (1, 39));
    let taken = answers.iter().find(|one| one.status == 409).unwrap();
    assert_eq!(taken.problem().name(), "slot-taken");
}

#[tokio::test]
async fn a_patient_cancels_with_the_link_that_only_a_form_can_use() {
    let clinic = Clinic::open();
    let admin = clinic.administrator().await;
    let practice = practice(&admin, "America/New_York", json!({})).await;
    let patient = admin.register_somebody().await;
    let start = format!("{}T15:00:00Z", day(20));
    let booked = practice.book(&admin, &patient, &start).await.json();
    let id = booked["id"].as_str().unwrap();
    let link = eventually("the link", async || {
        let mails = clinic.aws().mail_to(&patient.email).await;
        let texts = mails.iter().map(system_tests::Mail::whole);
        texts.into_iter().find_map(|text| {
            let at = text.find("/appointment-links/")?;
            text[at..].split_whitespace().next().map(ToOwned::to_owned)
        })
    })
    .await;
    let stranger = clinic.stranger();
    for method in ["GET", "HEAD"] {
        stranger.call(method, &link).answers(200).await;
    }
    let path = format!("/api/appointments/{id}");
    let read = admin.get(&path).answers(200).await.json();
    assert_eq!(
        (&read["status"], &read["version"]),
        (&json!("BOOKED"), &json!(1))
    );
    let form = "application/x-www-form-urlencoded";
    for _ in 0..2 {
        stranger
            .post(&link)
            .body(form, "action=cancel")
            .answers(200)
            .await;
    }
    let read = admin.get(&path).answers(200).await.json();
    assert_eq!(
        (&read["status"], &read["version"]),
        (&json!("CANCELLED"), &json!(2))
    );
    assert!(!practice.location.is_empty());
}
