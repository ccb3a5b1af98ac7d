//! The clients: they change patients through the API and retry each change until they know its
//! outcome, as a front end with an `Idempotency-Key` does.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use chrono::Utc;
use identity::Role;
use serde_json::json;
use system_tests::{Answer, Call, Clinic, NewPatient, Patient, User, Visitor};
use tokio::{sync::Mutex as AsyncMutex, task::JoinSet};
use uuid::Uuid;

use crate::{
    between,
    ledger::{Change, Kind, Ledger, Outcome},
    requests::{Requests, problem},
};

/// A token is valid for 15 minutes; it is renewed well before that.
const TOKEN_LIFE: Duration = Duration::from_mins(10);

/// The pause before the first retry, in milliseconds; it doubles with each one.
const FIRST_PAUSE: u64 = 100;
/// The longest pause, in milliseconds.
const LONGEST_PAUSE: u64 = 3_000;

/// How long a client retries a change. Far longer than any fault lasts.
const PATIENCE: Duration = Duration::from_mins(4);

/// How long a function may work on a request whose client has gone: its timeout in the template.
const LONGEST_REQUEST: Duration = Duration::from_secs(15);

/// The number of patients that several clients change at the same time.
const HOT_PATIENTS: usize = 3;

/// One client in this many works on those.
const HOT_CLIENTS: usize = 3;

/// The state that all clients share.
pub(crate) struct Load {
    pub(crate) clinic: Arc<Clinic>,
    pub(crate) ledger: Ledger,
    pub(crate) requests: Requests,
    /// Set when the clients are to stop.
    pub(crate) stop: AtomicBool,
    /// The number of changes that the API has acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// The number of attempts beyond the first of each change.
    pub(crate) retries: AtomicU64,
    /// The number of changes to make.
    pub(crate) changes: u64,
    rows: Vec<NewPatient>,
    run: String,
    seed: u64,
    administrator: Login,
    hot: Mutex<Vec<Uuid>>,
    /// When a client last abandoned a request.
    departure: Mutex<Option<Instant>>,
}

impl Load {
    /// A load before its start.
    pub(crate) fn new(clinic: Arc<Clinic>, rows: Vec<NewPatient>, seed: u64, changes: u64) -> Self {
        Self {
            administrator: Login::of(clinic.stack().user(Role::Admin).clone()),
            clinic,
            ledger: Ledger::default(),
            requests: Requests::default(),
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            changes,
            rows,
            // Another run on the same stack uses the same patients with different addresses.
            run: Uuid::new_v4().simple().to_string()[..8].to_owned(),
            seed,
            hot: Mutex::default(),
            departure: Mutex::default(),
        }
    }

    /// Whether enough changes have been acknowledged.
    pub(crate) fn is_enough(&self) -> bool {
        self.acknowledged.load(Ordering::Relaxed) >= self.changes
    }

    /// Waits until abandoned requests have ended.
    pub(crate) async fn let_go(&self) {
        let departure = *self
            .departure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(departure) = departure {
            tokio::time::sleep_until((departure + LONGEST_REQUEST).into()).await;
        }
    }

    /// A patient whom several clients change at the same time, and who may be deleted at any time.
    pub(crate) fn hot_patient(&self, random: &mut fastrand::Rng) -> Option<Uuid> {
        let hot = self.hot.lock().unwrap_or_else(PoisonError::into_inner);
        random.choice(hot.iter().copied())
    }

    /// Sends a request of the administrator until there is a response other than "later". Returns
    /// how often it was sent, and the response, if there was one.
    pub(crate) async fn insist(
        &self,
        random: &mut fastrand::Rng,
        name: &str,
        function: &'static str,
        call: impl Fn(&Visitor) -> Call,
    ) -> (u32, Option<Answer>) {
        let administrator = &self.administrator;
        self.insist_as(administrator, random, name, function, call)
            .await
    }

    /// The same for a request of somebody else.
    pub(crate) async fn insist_as(
        &self,
        login: &Login,
        random: &mut fastrand::Rng,
        name: &str,
        function: &'static str,
        call: impl Fn(&Visitor) -> Call,
    ) -> (u32, Option<Answer>) {
        let begun = Instant::now();
        let mut attempts = 0;
        let mut longest = FIRST_PAUSE;
        while begun.elapsed() < PATIENCE {
            attempts += 1;
            let call = call(&login.visitor(&self.clinic).await);
            let sent = Instant::now();
            let flying = self.requests.take_off(function);
            let answer = call.attempt().await;
            drop(flying);
            let time = sent.elapsed();
            match answer {
                Ok(answer) => {
                    self.requests.answered(name, function, &answer, time);
                    if is_final(&answer) {
                        return (attempts, Some(answer));
                    }
                }
                Err(_) => self.requests.unanswered(name, function, time),
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(between(random, longest / 2, longest)).await;
            longest = (longest * 2).min(LONGEST_PAUSE);
        }
        (attempts, None)
    }

    /// The administrator.
    pub(crate) const fn administrator(&self) -> &Login {
        &self.administrator
    }

    /// The administrator, logged in.
    pub(crate) async fn visitor(&self) -> Visitor {
        self.administrator.visitor(&self.clinic).await
    }
}

/// Somebody of the staff, who logs in again whenever it is time to.
pub(crate) struct Login {
    user: User,
    session: AsyncMutex<Option<(Visitor, Instant)>>,
}

impl Login {
    /// This user, who has not logged in yet.
    pub(crate) fn of(user: User) -> Self {
        Self {
            user,
            session: AsyncMutex::new(None),
        }
    }

    /// They, logged in. Logs in again before the token expires, retrying until it works.
    pub(crate) async fn visitor(&self, clinic: &Clinic) -> Visitor {
        let mut session = self.session.lock().await;
        if let Some((visitor, fetched)) = &*session
            && fetched.elapsed() < TOKEN_LIFE
        {
            return visitor.clone();
        }
        let body = json!({ "email": self.user.email, "password": self.user.password });
        loop {
            let call = clinic.stranger().post("/auth/login").json(&body);
            if let Ok(answer) = call.attempt().await
                && answer.status == 200
                && let Some(text) = answer.json()["token"].as_str()
            {
                let visitor = clinic.bearer(text);
                *session = Some((visitor.clone(), Instant::now()));
                return visitor;
            }
            tokio::time::sleep(Duration::from_millis(FIRST_PAUSE)).await;
        }
    }
}

/// The running clients.
pub(crate) struct Clients(JoinSet<()>);

impl Clients {
    /// These tasks.
    pub(crate) const fn of(clients: JoinSet<()>) -> Self {
        Self(clients)
    }

    /// Waits until each has finished its current change.
    ///
    /// # Errors
    /// If one of them panicked.
    pub(crate) async fn join(mut self) -> Result<()> {
        while let Some(ended) = self.0.join_next().await {
            ended.context("a client panicked")?;
        }
        Ok(())
    }
}

/// Starts this many clients.
pub(crate) fn start(load: &Arc<Load>, clients: usize) -> Clients {
    let mut all = JoinSet::new();
    for number in 0..clients {
        let client = Client {
            load: Arc::clone(load),
            number,
            random: fastrand::Rng::with_seed(load.seed.wrapping_add(number as u64)),
            changes: 0,
            known: Vec::new(),
        };
        all.spawn(client.work());
    }
    Clients(all)
}

/// One client.
struct Client {
    load: Arc<Load>,
    number: usize,
    random: fastrand::Rng,
    changes: u64,
    /// The patients as this client last saw them.
    known: Vec<Patient>,
}

/// A change to request.
struct Wish {
    kind: Kind,
    patient: Option<Patient>,
    wanted: Option<NewPatient>,
    conditional: bool,
}

impl Client {
    async fn work(mut self) {
        while !self.load.stop.load(Ordering::Relaxed) {
            if self.number % HOT_CLIENTS == HOT_CLIENTS - 1 {
                self.crowd().await;
            } else {
                self.work_alone().await;
            }
            if self.load.is_enough() {
                // Faults that are still to come happen under some load, but not under thousands of
                // changes.
                tokio::time::sleep(between(&mut self.random, 100, 500)).await;
            }
        }
    }

    /// Changes a patient that no other client touches.
    async fn work_alone(&mut self) {
        let choice = self.random.u8(..100);
        if self.known.is_empty() || choice < 45 {
            if let Some(patient) = self.create().await {
                self.known.push(patient);
            }
            return;
        }
        let position = self.random.usize(..self.known.len());
        let patient = self.known[position].clone();
        if choice < 92 {
            if let Some(patient) = self.update(patient).await {
                self.known[position] = patient;
            }
        } else if self.delete(patient.clone()).await {
            self.known.swap_remove(position);
            if self.random.bool()
                && let Some(patient) = self.restore(patient).await
            {
                self.known.push(patient);
            }
        }
    }

    /// Changes one of the patients that others change at the same time.
    async fn crowd(&mut self) {
        let hot = self.hot(|hot| hot.clone());
        if hot.len() < HOT_PATIENTS {
            if let Some(patient) = self.create().await {
                self.hot(|hot| hot.push(patient.id));
            }
            return;
        }
        let id = hot[self.random.usize(..hot.len())];
        let Some(patient) = self.look_at(id).await else {
            return;
        };
        if self.random.u8(..100) < 95 {
            self.update(patient).await;
        } else if self.delete(patient).await {
            self.hot(|hot| hot.retain(|other| *other != id));
        }
    }

    fn hot<T>(&self, use_it: impl FnOnce(&mut Vec<Uuid>) -> T) -> T {
        use_it(&mut self.load.hot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The current patient, or `None` if they cannot be read at the moment.
    async fn look_at(&mut self, id: Uuid) -> Option<Patient> {
        let visitor = self.load.visitor().await;
        let answer = visitor.get(&format!("/api/patients/{id}")).attempt().await;
        let patient = answer.ok().filter(|answer| answer.status == 200);
        if patient.is_none() {
            tokio::time::sleep(between(&mut self.random, 50, 200)).await;
        }
        patient.map(|answer| answer.read())
    }

    async fn create(&mut self) -> Option<Patient> {
        let mut wanted = self.somebody();
        wanted.email = self.address();
        if self.random.bool() {
            let (year, day) = (self.random.u16(2010..2026), self.random.u8(1..=28));
            let registered = format!("{year}-06-{day:02}");
            // Nobody can be registered before they were born.
            wanted.registered_date = Some(registered.max(wanted.date_of_birth.clone()));
        }
        self.change(Wish {
            kind: Kind::Create,
            patient: None,
            wanted: Some(wanted),
            conditional: false,
        })
        .await
        .flatten()
    }

    async fn update(&mut self, patient: Patient) -> Option<Patient> {
        let mut wanted = self.somebody();
        // Nobody can be born after they were registered.
        let registered = patient.registered_date.to_string();
        wanted.date_of_birth = wanted.date_of_birth.min(registered);
        wanted.email = if self.random.u8(..100) < 30 {
            self.address()
        } else {
            patient.email.clone()
        };
        let conditional = self.random.u8(..100) < 30;
        self.change(Wish {
            kind: Kind::Update,
            patient: Some(patient),
            wanted: Some(wanted),
            conditional,
        })
        .await
        .flatten()
    }

    async fn delete(&mut self, patient: Patient) -> bool {
        let conditional = self.random.u8(..100) < 30;
        self.change(Wish {
            kind: Kind::Delete,
            patient: Some(patient),
            wanted: None,
            conditional,
        })
        .await
        .is_some()
    }

    /// Undoes a deletion.
    async fn restore(&mut self, patient: Patient) -> Option<Patient> {
        self.change(Wish {
            kind: Kind::Restore,
            patient: Some(patient),
            wanted: None,
            conditional: false,
        })
        .await
        .flatten()
    }

    /// A random patient from the file, at an address that no other change uses.
    fn somebody(&mut self) -> NewPatient {
        let row = self.random.usize(..self.load.rows.len());
        let row = &self.load.rows[row];
        NewPatient {
            address: format!("{}, {}", self.name(), row.address),
            ..row.clone()
        }
    }

    /// A unique e-mail address, in a domain that never exists (RFC 2606).
    fn address(&self) -> String {
        format!("{}.{}@synthea.example", self.name(), self.load.run)
    }

    /// The name of the next change.
    fn name(&self) -> String {
        format!("c{}-{}", self.number, self.changes + 1)
    }

    /// Requests a change until there is a response, and records the outcome: `None` if the change
    /// was rejected or its outcome is unknown.
    async fn change(&mut self, wish: Wish) -> Option<Option<Patient>> {
        let name = self.name();
        self.changes += 1;
        let key = Uuid::new_v4();
        let begun = Utc::now();
        // Some clients leave before the response arrives, and do not come back.
        let leaves = self.random.u8(..100) < 3;
        let leaves = leaves && !self.load.is_enough();
        let (attempts, outcome) = if leaves {
            let moment = between(&mut self.random, 1, 60);
            let call = call(&self.load.visitor().await, &wish, key);
            let _flying = self.load.requests.take_off(wish.kind.function());
            let _ = tokio::time::timeout(moment, call.attempt()).await;
            let departure = self.load.departure.lock();
            *departure.unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            (1, Outcome::Unknown)
        } else {
            let (attempts, answer) = self
                .load
                .insist(&mut self.random, &name, wish.kind.function(), |visitor| {
                    call(visitor, &wish, key)
                })
                .await;
            (attempts, answer.as_ref().map_or(Outcome::Unknown, outcome))
        };
        let told = match &outcome {
            Outcome::Acknowledged { patient } => Some(patient.as_deref().cloned()),
            _ => None,
        };
        let created = told.as_ref().and_then(Option::as_ref);
        let patient = wish.patient.as_ref().or(created);
        self.load.ledger.add(Change {
            name,
            kind: wish.kind,
            key,
            patient_id: patient.map(|patient| patient.id),
            wanted: wish.wanted,
            conditional: wish.conditional,
            begun,
            attempts,
            outcome,
        });
        if told.is_some() {
            self.load.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        told
    }
}

/// The request for a change.
fn call(visitor: &Visitor, wish: &Wish, key: Uuid) -> Call {
    let path = wish.patient.as_ref().map(Patient::path);
    let path = path.as_deref().unwrap_or("/api/patients");
    let call = match wish.kind {
        Kind::Create => visitor.post(path),
        Kind::Update => visitor.put(path),
        Kind::Delete => visitor.delete(path),
        Kind::Restore => visitor.post(&format!("{path}/restore")),
    };
    let call = call.header("Idempotency-Key", &key.to_string());
    let call = match &wish.patient {
        Some(patient) if wish.conditional => call.header("If-Match", &patient.etag()),
        _ => call,
    };
    match &wish.wanted {
        Some(wanted) => call.json(wanted),
        None => call,
    }
}

/// Whether a response means something other than: try again later.
fn is_final(answer: &Answer) -> bool {
    match answer.status {
        401 | 429 | 500.. => false,
        // The first attempt is still in progress.
        409 => !answer.headers.contains_key("retry-after"),
        _ => true,
    }
}

/// What a response means.
fn outcome(answer: &Answer) -> Outcome {
    match answer.status {
        200 | 201 => Outcome::Acknowledged {
            patient: serde_json::from_slice(&answer.body).ok(),
        },
        204 => Outcome::Acknowledged { patient: None },
        status => Outcome::Refused {
            status,
            problem: problem(answer).map_or("none".to_owned(), |problem| problem.kind),
        },
    }
}
