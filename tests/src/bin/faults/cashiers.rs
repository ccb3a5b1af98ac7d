//! The cashiers: they charge patients for what was done and for appointments that took place, issue
//! invoices, take money, give it back, and give up what nobody pays, some of it two at a time.
//! Nobody else touches the accounts of their patients.

mod acts;
mod observation;
mod office;
mod requests;
mod visit;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, NaiveTime, Utc};
use tokio::task::JoinSet;
use uuid::Uuid;

pub(crate) use acts::{Act, Appointment, Kind, Repetition};
#[cfg(test)]
pub(crate) use observation::{Balance, Charge, Document, Entry, Statement, StatementLine};
pub(crate) use observation::{Books, Event, EventKind, Recorded};
pub(crate) use office::Office;

use crate::{
    between,
    clients::{Clients, Load, Login},
};

/// How many cashiers there are.
const CASHIERS: usize = 3;

/// How far ahead the appointments are that they record as fulfilled: no reminder is due during a run.
const DAYS_AHEAD: u64 = 20;

/// What the cashiers share.
pub(crate) struct Till {
    load: Arc<Load>,
    office: Office,
    /// The second person, whom some things take.
    colleague: Login,
    acts: Mutex<Vec<Act>>,
    appointments: Mutex<Vec<Appointment>>,
    failures: Mutex<Vec<Failure>>,
    slots: AtomicU64,
    first_slot: DateTime<Utc>,
    seed: u64,
}

/// What was rejected and should not have been, or had no response for minutes: the rest of this
/// patient's account is not checked.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) name: String,
    pub(crate) patient: Uuid,
    pub(crate) reason: String,
}

impl Till {
    /// A till before its first patient.
    pub(crate) async fn open(load: Arc<Load>, office: Office, seed: u64) -> Self {
        let colleague = load.clinic.hire(identity::Role::Admin).await;
        let midnight = Utc::now().date_naive().and_time(NaiveTime::MIN);
        Self {
            load,
            office,
            colleague: Login::of(colleague),
            acts: Mutex::default(),
            appointments: Mutex::default(),
            failures: Mutex::default(),
            slots: AtomicU64::new(0),
            first_slot: midnight.and_utc() + Duration::from_hours(24 * DAYS_AHEAD),
            seed,
        }
    }

    /// Where they work.
    pub(crate) const fn office(&self) -> &Office {
        &self.office
    }

    /// What they were told.
    pub(crate) fn acts(&self) -> Vec<Act> {
        copy(&self.acts)
    }

    /// The appointments that they know the end of.
    pub(crate) fn appointments(&self) -> Vec<Appointment> {
        copy(&self.appointments)
    }

    /// What should not have happened.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        copy(&self.failures)
    }

    /// A slot that nobody else has.
    fn slot(&self) -> DateTime<Utc> {
        let slot = self.slots.fetch_add(1, Ordering::Relaxed);
        self.first_slot + Duration::from_mins(30 * slot)
    }
}

fn copy<T: Clone>(of: &Mutex<Vec<T>>) -> Vec<T> {
    of.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn add<T>(to: &Mutex<Vec<T>>, it: T) {
    to.lock().unwrap_or_else(PoisonError::into_inner).push(it);
}

/// Starts the cashiers, each with patients of their own.
pub(crate) fn start(till: &Arc<Till>) -> Clients {
    let mut all = JoinSet::new();
    for number in 0..CASHIERS {
        let patients = till.office.patients.iter().skip(number).step_by(CASHIERS);
        let cashier = Cashier {
            till: Arc::clone(till),
            number,
            random: fastrand::Rng::with_seed(till.seed.rotate_left(48) ^ number as u64),
            acts: 0,
            patients: patients.copied().collect(),
            to_repeat: Vec::new(),
        };
        all.spawn(cashier.work());
    }
    Clients::of(all)
}

/// One cashier.
struct Cashier {
    till: Arc<Till>,
    number: usize,
    random: fastrand::Rng,
    acts: u64,
    /// The patients whose accounts this cashier knows.
    patients: Vec<Uuid>,
    /// Requests to be sent once more, although they were answered.
    to_repeat: Vec<requests::Answered>,
}

impl Cashier {
    async fn work(mut self) {
        let load = Arc::clone(&self.till.load);
        while !load.stop.load(Ordering::Relaxed) {
            let Some(patient) = self.random.choice(self.patients.clone()) else {
                return;
            };
            if let Err(reason) = self.visit(patient).await {
                self.patients.retain(|other| *other != patient);
                let name = self.name();
                add(
                    &self.till.failures,
                    Failure {
                        name,
                        patient,
                        reason,
                    },
                );
            }
            let pause = if load.is_enough() { 2_000 } else { 400 };
            tokio::time::sleep(between(&mut self.random, pause / 4, pause)).await;
        }
    }

    /// The name of what this cashier does now.
    fn name(&self) -> String {
        format!("k{}-{}", self.number, self.acts)
    }
}
