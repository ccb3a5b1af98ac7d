//! The booking clients: they book, hold, move and cancel appointments, and take clinicians away, all
//! of them on the same few slots.

mod ledger;
mod observation;
mod practice;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use system_tests::Visitor;
use tokio::task::JoinSet;
use uuid::Uuid;

pub(crate) use ledger::{Change, Entry, Outcome, State, Tally, tally};
#[cfg(test)]
pub(crate) use observation::{Absence, Message, Occupied, Sent};
pub(crate) use observation::{Appointment, Bookings, Event, EventKind, Step};
pub(crate) use practice::{Practice, REMINDERS, around_the_clock, created};

use crate::{
    between,
    clients::{Clients, Load},
    requests::problem,
};

/// How many booking clients there are.
const CLIENTS: usize = 3;

/// How many slots of a day they want.
const SLOTS: u64 = 6;

/// How many appointments that have taken place make them want the slots of the next day: what has
/// taken place keeps its slot.
const ARRIVALS_OF_A_DAY: u64 = 4;

/// How far ahead they book: no reminder is due during a run.
const DAYS_AHEAD: u64 = 10;

/// The most absences that a client leaves behind before it takes one back.
const ABSENCES: usize = 2;

/// What the booking clients share.
pub(crate) struct Desk {
    load: Arc<Load>,
    practice: Practice,
    entries: Mutex<Vec<Entry>>,
    /// The appointments that somebody has, as they were last seen.
    known: Mutex<Vec<State>>,
    arrivals: AtomicU64,
    /// The first of the days that they want.
    first_day: DateTime<Utc>,
    seed: u64,
}

impl Desk {
    /// A desk before its first patient.
    pub(crate) fn new(load: Arc<Load>, practice: Practice, seed: u64) -> Self {
        let midnight = Utc::now().date_naive().and_time(chrono::NaiveTime::MIN);
        Self {
            load,
            practice,
            entries: Mutex::default(),
            known: Mutex::default(),
            arrivals: AtomicU64::new(0),
            first_day: midnight.and_utc() + Duration::from_hours(24 * DAYS_AHEAD),
            seed,
        }
    }

    /// Where they book.
    pub(crate) const fn practice(&self) -> &Practice {
        &self.practice
    }

    /// What they were told.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entries = self.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, entry: Entry) {
        let entries = self.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    fn known<T>(&self, use_them: impl FnOnce(&mut Vec<State>) -> T) -> T {
        use_them(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what an appointment is now, unless somebody has seen a later version.
    fn note(&self, state: &State) {
        self.known(|known| {
            let later = |other: &State| other.id == state.id && other.version >= state.version;
            if known.iter().any(later) {
                return;
            }
            known.retain(|other| other.id != state.id);
            if matches!(state.status.as_str(), "PENDING" | "BOOKED") {
                known.push(state.clone());
            }
        });
    }

    fn forget(&self, id: Uuid) {
        self.known(|known| known.retain(|other| other.id != id));
    }

    /// One of the slots that everybody wants.
    fn slot(&self, random: &mut fastrand::Rng) -> DateTime<Utc> {
        let days = self.arrivals.load(Ordering::Relaxed) / ARRIVALS_OF_A_DAY;
        let minutes = 9 * 60 + 30 * random.u64(..SLOTS);
        self.first_day + Duration::from_mins(days * 24 * 60 + minutes)
    }
}

/// Starts the booking clients.
pub(crate) fn start(desk: &Arc<Desk>) -> Clients {
    let mut all = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client {
            desk: Arc::clone(desk),
            number,
            random: fastrand::Rng::with_seed(desk.seed.rotate_left(32) ^ number as u64),
            changes: 0,
            absences: Vec::new(),
        };
        all.spawn(client.work());
    }
    Clients::of(all)
}

/// One booking client.
struct Client {
    desk: Arc<Desk>,
    number: usize,
    random: fastrand::Rng,
    changes: u64,
    /// The absences that this client has recorded: whose, and which.
    absences: Vec<(Uuid, Uuid)>,
}

/// A change to request.
struct Wish {
    change: Change,
    method: &'static str,
    path: String,
    body: Option<Value>,
    /// The appointment as the client knows it, if it exists.
    about: Option<State>,
    conditional: bool,
    wanted: Option<DateTime<Utc>>,
    patient: Option<Uuid>,
    may_be_gone: bool,
}

impl Client {
    async fn work(mut self) {
        let load = Arc::clone(&self.desk.load);
        while !load.stop.load(Ordering::Relaxed) {
            self.step().await;
            let pause = if load.is_enough() { 500 } else { 200 };
            tokio::time::sleep(between(&mut self.random, pause / 4, pause)).await;
        }
    }

    async fn step(&mut self) {
        let some = self.desk.known(|known| known.clone());
        let some = self.random.choice(some);
        match (self.random.u8(..100), some) {
            (0..7, _) => self.absence().await,
            (7..40, Some(some)) if some.status == "PENDING" => {
                self.change(Change::Confirm, some).await;
            }
            (7..40, Some(some)) => self.reschedule(some).await,
            (40..55, Some(some)) => self.change(Change::Cancel, some).await,
            (55..58, Some(some)) if some.status == "BOOKED" => {
                self.change(Change::Arrive, some).await;
            }
            (choice, _) => self.book(choice < 75).await,
        }
    }

    /// Books a slot, or holds it and, most of the time, confirms it.
    async fn book(&mut self, hold: bool) {
        let random = &mut self.random;
        let practice = &self.desk.practice;
        let hot = self.desk.load.hot_patient(random);
        let hot = hot.filter(|_| random.u8(..100) < 25);
        let own = practice.patients[random.usize(..practice.patients.len())];
        let patient = hot.unwrap_or(own);
        let service = practice.services[random.usize(..practice.services.len())];
        let start = self.desk.slot(random);
        let mut body = json!({
            "patientId": patient, "serviceId": service.id, "start": start, "hold": hold,
        });
        if random.bool() {
            let clinicians = &practice.clinicians;
            body["resourceIds"] = json!([clinicians[random.usize(..clinicians.len())]]);
        } else {
            body["locationId"] = json!(practice.location);
        }
        let told = self
            .insist(Wish {
                change: if hold { Change::Hold } else { Change::Book },
                method: "POST",
                path: "/api/appointments".to_owned(),
                body: Some(body),
                about: None,
                conditional: false,
                wanted: Some(start),
                patient: Some(patient),
                may_be_gone: hot.is_some(),
            })
            .await;
        let pending = told.filter(|state| hold && state.status == "PENDING");
        if let Some(pending) = pending
            && self.random.u8(..100) < 80
        {
            self.change(Change::Confirm, pending).await;
        }
    }

    async fn reschedule(&mut self, about: State) {
        let start = self.desk.slot(&mut self.random);
        let mut body = json!({ "start": start });
        if self.random.bool() {
            // Anybody who is free.
            body["resourceIds"] = json!([]);
        }
        self.about(Change::Move, about, Some(body), Some(start))
            .await;
    }

    async fn change(&mut self, change: Change, about: State) {
        let reason = json!({ "reason": "They cannot come" });
        let body = (change == Change::Cancel).then_some(reason);
        self.about(change, about, body, None).await;
    }

    async fn about(
        &mut self,
        change: Change,
        about: State,
        body: Option<Value>,
        wanted: Option<DateTime<Utc>>,
    ) {
        let id = about.id;
        let conditional = self.random.u8(..100) < 30;
        self.insist(Wish {
            change,
            method: "POST",
            path: format!("/api/appointments/{id}/{}", change.verb()),
            body,
            patient: Some(about.patient_id),
            about: Some(about),
            conditional,
            wanted,
            may_be_gone: false,
        })
        .await;
    }

    /// Takes a clinician away for an hour, or brings one back.
    async fn absence(&mut self) {
        let can_leave = self.absences.len() < ABSENCES;
        if self.absences.is_empty() || can_leave && self.random.bool() {
            self.take_away().await;
        } else if let Some((clinician, absence)) = self.absences.pop() {
            let path = format!("/api/resources/{clinician}/absences/{absence}");
            let wish = Wish::of_schedule(Change::Return, "DELETE", path, None);
            self.request(wish, Some(absence)).await;
        }
    }

    async fn take_away(&mut self) {
        let clinicians = &self.desk.practice.clinicians;
        let clinician = clinicians[self.random.usize(..clinicians.len())];
        let from = self.desk.slot(&mut self.random);
        let body = json!({
            "from": from, "to": from + TimeDelta::hours(1), "reason": self.name(),
        });
        let path = format!("/api/resources/{clinician}/absences");
        let wish = Wish::of_schedule(Change::Absent, "POST", path, Some(body));
        if let Some(answer) = self.request(wish, None).await
            && let Some(id) = answer["id"].as_str().and_then(|id| id.parse().ok())
        {
            self.absences.push((clinician, id));
        }
    }

    /// Requests a change of an appointment, and notes what it is afterwards.
    async fn insist(&mut self, wish: Wish) -> Option<State> {
        let (change, about) = (wish.change, wish.about.as_ref().map(|about| about.id));
        let answer = self.request(wish, None).await;
        let told: Option<State> = answer.and_then(|body| serde_json::from_value(body).ok());
        match (&told, about) {
            (Some(state), _) => {
                self.desk.note(state);
                if change == Change::Arrive {
                    self.desk.arrivals.fetch_add(1, Ordering::Relaxed);
                }
            }
            // It is something else than the client thought.
            (None, Some(id)) if change != Change::Move || self.random.u8(..4) == 0 => {
                self.desk.forget(id);
            }
            (None, _) => {}
        }
        told
    }

    fn name(&self) -> String {
        format!("b{}-{}", self.number, self.changes + 1)
    }

    /// Requests a change until there is a response, and records its outcome. Returns the body of the
    /// response if the change was made.
    async fn request(&mut self, wish: Wish, absence: Option<Uuid>) -> Option<Value> {
        let name = self.name();
        self.changes += 1;
        let key = Uuid::new_v4();
        let begun = Utc::now();
        let call = |visitor: &Visitor| {
            let call = visitor.call(wish.method, &wish.path);
            let call = call.header("Idempotency-Key", &key.to_string());
            let call = match &wish.about {
                Some(about) if wish.conditional => {
                    call.header("If-Match", &format!("\"{}\"", about.version))
                }
                _ => call,
            };
            match &wish.body {
                Some(body) => call.json(body),
                None => call,
            }
        };
        let desk = Arc::clone(&self.desk);
        let function = wish.change.function();
        let asked = desk.load.insist(&mut self.random, &name, function, call);
        let (attempts, answer) = asked.await;
        let body = answer
            .as_ref()
            .filter(|answer| answer.status < 300)
            .map(|answer| serde_json::from_slice::<Value>(&answer.body).unwrap_or_default());
        let absence = absence.or_else(|| {
            let made = body.as_ref().filter(|_| wish.change == Change::Absent);
            made?["id"].as_str()?.parse().ok()
        });
        let outcome = match (&answer, &body) {
            (None, _) => Outcome::Unknown,
            (Some(_), Some(body)) => Outcome::Acknowledged {
                state: serde_json::from_value(body.clone()).ok(),
            },
            (Some(answer), None) => Outcome::Refused {
                status: answer.status,
                problem: problem(answer).map_or_else(String::new, |it| it.name().to_owned()),
            },
        };
        desk.add(Entry {
            name,
            change: wish.change,
            key,
            appointment: wish.about.map(|about| about.id),
            absence,
            wanted: wish.wanted,
            patient: wish.patient,
            may_be_gone: wish.may_be_gone,
            conditional: wish.conditional,
            begun,
            attempts,
            outcome,
        });
        body
    }
}

impl Wish {
    const fn of_schedule(
        change: Change,
        method: &'static str,
        path: String,
        body: Option<Value>,
    ) -> Self {
        Self {
            change,
            method,
            path,
            body,
            about: None,
            conditional: false,
            wanted: None,
            patient: None,
            may_be_gone: false,
        }
    }
}
