//! The merging clients: each makes two records one and two again, over and over, and in the end
//! erases some of them. Nobody else touches their patients.

use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering};

use serde::{Deserialize, Serialize};
use serde_json::json;
use system_tests::{Answer, Call, NewPatient, Patient, Visitor};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    between,
    clients::{Clients, Load},
    requests::problem,
};

/// How many merging clients there are.
const CLIENTS: usize = 2;

/// The most merges of one pair.
const MERGES: usize = 3;

/// Two records, and what their client was told about them, in order.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pair {
    /// Its name in the report.
    pub(crate) name: String,
    /// Both as they were registered.
    #[serde(skip)]
    pub(crate) both: [Patient; 2],
    pub(crate) steps: Vec<Step>,
    /// What was rejected and should not have been, or had no response for minutes: the rest is not
    /// checked.
    pub(crate) failure: Option<String>,
}

impl Pair {
    /// The ids of both.
    pub(crate) fn ids(&self) -> [Uuid; 2] {
        self.both.each_ref().map(|patient| patient.id)
    }
}

/// What was done with a pair.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Step {
    /// One is the other now.
    Merged {
        id: Uuid,
        #[serde(skip)]
        survivor: Box<Patient>,
        duplicate: Uuid,
    },
    /// They are two again.
    Undone {
        #[serde(skip)]
        survivor: Box<Patient>,
        #[serde(skip)]
        duplicate: Box<Patient>,
    },
    /// The one that was the other is deleted.
    Deleted { survivor: Uuid },
    /// Both are gone.
    Erased,
}

#[derive(Deserialize)]
struct Merged {
    id: Uuid,
    survivor: Box<Patient>,
}

#[derive(Deserialize)]
struct Undone {
    survivor: Box<Patient>,
    duplicate: Box<Patient>,
}

/// What the merging clients share.
pub(crate) struct Registry {
    load: Arc<Load>,
    pairs: Mutex<Vec<Pair>>,
    seed: u64,
}

impl Registry {
    /// A registry without records.
    pub(crate) fn new(load: Arc<Load>, seed: u64) -> Self {
        Self {
            load,
            pairs: Mutex::default(),
            seed,
        }
    }

    /// All pairs.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        let pairs = self.pairs.lock();
        pairs.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts the merging clients.
pub(crate) fn start(registry: &Arc<Registry>) -> Clients {
    let mut all = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client {
            registry: Arc::clone(registry),
            number,
            random: fastrand::Rng::with_seed(registry.seed.rotate_left(16) ^ number as u64),
            pairs: 0,
        };
        all.spawn(client.work());
    }
    Clients::of(all)
}

/// One merging client.
struct Client {
    registry: Arc<Registry>,
    number: usize,
    random: fastrand::Rng,
    pairs: u64,
}

impl Client {
    async fn work(mut self) {
        let load = Arc::clone(&self.registry.load);
        while !load.stop.load(Ordering::Relaxed) {
            self.pairs += 1;
            let name = format!("m{}-{}", self.number, self.pairs);
            let Some(both) = self.register(&name).await else {
                continue;
            };
            let mut pair = Pair {
                name,
                both,
                steps: Vec::new(),
                failure: None,
            };
            pair.failure = self.treat(&mut pair).await.err();
            let pairs = self.registry.pairs.lock();
            pairs.unwrap_or_else(PoisonError::into_inner).push(pair);
            let pause = if load.is_enough() { 2_000 } else { 500 };
            tokio::time::sleep(between(&mut self.random, pause / 4, pause)).await;
        }
    }

    /// Registers two records, in whose address is their name.
    async fn register(&mut self, name: &str) -> Option<[Patient; 2]> {
        let mut both = Vec::new();
        for which in ["a", "b"] {
            let run = Uuid::new_v4().simple();
            let new = NewPatient {
                name: format!("Zoë Feil {which}"),
                email: format!("{name}{which}.{run}@synthea.example"),
                address: format!("{name}{which}, 1 Main Street"),
                date_of_birth: "1987-03-12".to_owned(),
                registered_date: None,
            };
            let call = |visitor: &Visitor| visitor.post("/api/patients").json(&new);
            let answer = self.insist(name, "create-patient", call).await.ok()?;
            both.push(answer.read());
        }
        both.try_into().ok()
    }

    /// Merges the two, undoes it, merges them again, and perhaps erases them.
    async fn treat(&mut self, pair: &mut Pair) -> Result<(), String> {
        for merges in 1..=MERGES {
            let survivor = if self.random.u8(..100) < 30 {
                self.merge_both_ways(pair).await?
            } else {
                self.merge(pair).await?
            };
            if merges == MERGES || self.random.bool() {
                if self.random.u8(..100) < 40 {
                    self.erase(pair, survivor).await?;
                }
                return Ok(());
            }
            self.undo(pair).await?;
        }
        Ok(())
    }

    /// Makes one of the two the other. Returns who remains.
    async fn merge(&mut self, pair: &mut Pair) -> Result<Uuid, String> {
        let [one, other] = [pair.both[0].id, pair.both[1].id];
        let (survivor, duplicate) = if self.random.bool() {
            (one, other)
        } else {
            (other, one)
        };
        let body = json!({ "survivorId": survivor, "duplicateId": duplicate });
        let call = |visitor: &Visitor| visitor.post("/api/patients/merges").json(&body);
        let answer = self.insist(&pair.name, "merge-patients", call).await?;
        pair.steps.push(merged(&answer, duplicate));
        Ok(survivor)
    }

    /// Makes each the other at the same time: one merge wins. Returns who remains.
    async fn merge_both_ways(&mut self, pair: &mut Pair) -> Result<Uuid, String> {
        let [one, other] = [pair.both[0].id, pair.both[1].id];
        let (one_random, other_random) = (self.random.fork(), self.random.fork());
        let load = &self.registry.load;
        let name = pair.name.as_str();
        let way = async |survivor: Uuid, duplicate: Uuid, mut random: fastrand::Rng| {
            let body = json!({ "survivorId": survivor, "duplicateId": duplicate });
            let key = Uuid::new_v4().to_string();
            let call = |visitor: &Visitor| {
                let call = visitor.post("/api/patients/merges").json(&body);
                call.header("Idempotency-Key", &key)
            };
            load.insist(&mut random, name, "merge-patients", call)
                .await
                .1
        };
        let (first, second) =
            tokio::join!(way(one, other, one_random), way(other, one, other_random),);
        let (Some(first), Some(second)) = (first, second) else {
            return Err("two merges at the same time had no response".to_owned());
        };
        match (first.status, second.status) {
            (201, 409) => {
                pair.steps.push(merged(&first, other));
                Ok(one)
            }
            (409, 201) => {
                pair.steps.push(merged(&second, one));
                Ok(other)
            }
            statuses => Err(format!("merges both ways at once got {statuses:?}")),
        }
    }

    async fn undo(&mut self, pair: &mut Pair) -> Result<(), String> {
        let Some(Step::Merged { id, .. }) = pair.steps.last() else {
            return Ok(());
        };
        let path = format!("/api/patients/merges/{id}/undo");
        let call = |visitor: &Visitor| visitor.post(&path);
        let answer = self.insist(&pair.name, "undo-merge", call).await?;
        let Undone {
            survivor,
            duplicate,
            ..
        } = answer.read();
        pair.steps.push(Step::Undone {
            survivor,
            duplicate,
        });
        Ok(())
    }

    /// Deletes the survivor, and perhaps erases both.
    async fn erase(&mut self, pair: &mut Pair, survivor: Uuid) -> Result<(), String> {
        let path = format!("/api/patients/{survivor}");
        let call = |visitor: &Visitor| visitor.delete(&path);
        self.insist(&pair.name, "delete-patient", call).await?;
        pair.steps.push(Step::Deleted { survivor });
        if self.random.bool() {
            return Ok(());
        }
        let path = format!("{path}/erase");
        let body = json!({ "reason": "They have asked for it, and nothing keeps us" });
        let call = |visitor: &Visitor| visitor.post(&path).json(&body);
        self.insist(&pair.name, "erase-patient", call).await?;
        pair.steps.push(Step::Erased);
        Ok(())
    }

    /// Requests a change until there is a response, which has to be a success.
    async fn insist(
        &mut self,
        name: &str,
        function: &'static str,
        call: impl Fn(&Visitor) -> Call,
    ) -> Result<Answer, String> {
        let key = Uuid::new_v4().to_string();
        let load = Arc::clone(&self.registry.load);
        let call = |visitor: &Visitor| call(visitor).header("Idempotency-Key", &key);
        let (_, answer) = load.insist(&mut self.random, name, function, call).await;
        let answer = answer.ok_or_else(|| format!("{function} had no response"))?;
        if answer.status < 300 {
            load.acknowledged.fetch_add(1, Ordering::Relaxed);
            return Ok(answer);
        }
        let kind = problem(&answer).map_or_else(String::new, |problem| problem.kind);
        Err(format!(
            "{function} was rejected with {} {kind}",
            answer.status
        ))
    }
}

fn merged(answer: &Answer, duplicate: Uuid) -> Step {
    let Merged { id, survivor } = answer.read();
    Step::Merged {
        id,
        survivor,
        duplicate,
    }
}
