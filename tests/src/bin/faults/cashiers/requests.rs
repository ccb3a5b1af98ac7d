//! What the cashiers ask for, over and over until there is an answer.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use serde_json::Value;
use system_tests::{Answer, Call, Visitor};
use uuid::Uuid;

use super::{Act, Cashier, Kind, Repetition, Till, add};
use crate::{between, clients::Login, requests::problem};

/// One request in this many is abandoned at first: the client comes back for its answer.
const ABANDONED: u32 = 10;

/// One request in this many is sent once more after it was answered.
const REPEATED: u32 = 5;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Cashier,
    Colleague,
}

/// A change to ask for.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) kind: Kind,
    pub(super) who: Who,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    /// The version that it is for.
    pub(super) if_match: Option<String>,
    pub(super) key: Uuid,
}

impl Wish {
    pub(super) fn of(kind: Kind, path: String, body: Option<Value>) -> Self {
        Self {
            kind,
            who: Who::Cashier,
            path,
            body,
            if_match: None,
            key: Uuid::new_v4(),
        }
    }

    pub(super) fn by(self, who: Who) -> Self {
        Self { who, ..self }
    }

    /// The same, of somebody else.
    pub(super) fn of_colleague(&self) -> Self {
        Self {
            who: Who::Colleague,
            key: Uuid::new_v4(),
            ..self.clone()
        }
    }

    fn call(&self, visitor: &Visitor) -> Call {
        let call = visitor.post(&self.path);
        let call = call.header("Idempotency-Key", &self.key.to_string());
        let call = match &self.if_match {
            Some(version) => call.header("If-Match", version),
            None => call,
        };
        match &self.body {
            Some(body) => call.json(body),
            None => call,
        }
    }
}

/// What a wish was answered.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) wish: Wish,
    pub(super) name: String,
    pub(super) status: u16,
    pub(super) body: Value,
    /// The version, for `If-Match`.
    pub(super) etag: Option<String>,
    /// How often it was sent.
    sent: u32,
    /// How often the answer said that it was a repetition.
    replays: u32,
}

impl Answered {
    pub(super) const fn is_done(&self) -> bool {
        self.status < 300
    }

    /// Why it was not done.
    pub(super) fn refusal(&self) -> String {
        let Self {
            wish, status, body, ..
        } = self;
        format!(
            "{} was rejected with {status}: {body}",
            wish.kind.function()
        )
    }

    /// The id of what it is about.
    pub(super) fn id(&self) -> Result<Uuid, String> {
        let id = self.text("id")?;
        id.parse().map_err(|error| format!("{id}: {error}"))
    }

    pub(super) fn text(&self, field: &str) -> Result<&str, String> {
        let text = self.body[field].as_str();
        text.ok_or_else(|| format!("no {field} in {}", self.body))
    }

    /// An amount, in cents.
    pub(super) fn cents(&self, field: &str) -> Result<i64, String> {
        let cents = self.body[field]["minorUnits"].as_i64();
        cents.ok_or_else(|| format!("no {field} in {}", self.body))
    }
}

impl Cashier {
    /// Asks until there is an answer.
    pub(super) async fn ask(&mut self, wish: Wish) -> Result<Answered, String> {
        self.acts += 1;
        let name = self.name();
        ask(&self.till, &mut self.random, name, wish).await
    }

    /// Asks for both at the same time.
    pub(super) async fn ask_at_once(&mut self, wishes: [Wish; 2]) -> Result<[Answered; 2], String> {
        self.acts += 1;
        let [one, other] = wishes;
        let (mut one_random, mut other_random) = (self.random.fork(), self.random.fork());
        let names = ["a", "b"].map(|half| format!("{}{half}", self.name()));
        let [one_name, other_name] = names;
        let (one, other) = tokio::join!(
            ask(&self.till, &mut one_random, one_name, one),
            ask(&self.till, &mut other_random, other_name, other),
        );
        Ok([one?, other?])
    }

    /// Asks for what has to be done.
    pub(super) async fn insist(&mut self, wish: Wish) -> Result<Answered, String> {
        let answered = self.ask(wish).await?;
        if answered.is_done() {
            Ok(answered)
        } else {
            Err(answered.refusal())
        }
    }

    /// Asks for what has to be refused with this status.
    pub(super) async fn be_refused(&mut self, wish: Wish, status: u16) -> Result<(), String> {
        let answered = self.ask(wish).await?;
        if answered.status == status {
            Ok(())
        } else {
            Err(format!(
                "{} got {}, not {status}: {}",
                answered.wish.kind.function(),
                answered.status,
                answered.body
            ))
        }
    }

    /// Asks two people for the same thing, of whom one gets it. Returns that one.
    pub(super) async fn compete(&mut self, wish: Wish) -> Result<Answered, String> {
        let other = wish.of_colleague();
        let both = self.ask_at_once([wish, other]).await?;
        match both {
            [one, other] if one.is_done() && other.status == 409 => Ok(one),
            [other, one] if one.is_done() && other.status == 409 => Ok(one),
            [one, other] => Err(format!(
                "two times {} at once got {} and {}: {}, {}",
                one.wish.kind.function(),
                one.status,
                other.status,
                one.body,
                other.body
            )),
        }
    }

    /// Sends the same request twice at the same time, which has to have one effect and one answer.
    pub(super) async fn double(&mut self, wish: Wish) -> Result<Answered, String> {
        let [one, other] = self.ask_at_once([wish.clone(), wish]).await?;
        if !one.is_done() {
            return Err(one.refusal());
        }
        let is_one = (other.status, &other.body) == (one.status, &one.body);
        if !is_one || one.replays + other.replays == 0 {
            return Err(format!(
                "{} twice at once got two answers: {}, {}",
                one.wish.kind.function(),
                one.body,
                other.body
            ));
        }
        Ok(Answered {
            sent: one.sent + other.sent,
            replays: one.replays + other.replays,
            ..one
        })
    }

    /// Notes that something was done.
    pub(super) fn note(&mut self, answered: &Answered, told: Told) {
        add(
            &self.till.acts,
            Act {
                name: answered.name.clone(),
                kind: told.kind,
                patient: told.patient,
                document: told.document,
                resource: told.resource,
                amount: told.amount,
                number: told.number,
                key: answered.wish.key,
                sent: answered.sent,
                replays: answered.replays,
                repetition: None,
            },
        );
        self.till.load.acknowledged.fetch_add(1, Ordering::Relaxed);
        if self.random.u32(..REPEATED) == 0 {
            self.to_repeat.push(answered.clone());
        }
    }

    /// Sends requests once more that were answered, whatever has happened since.
    pub(super) async fn repeat(&mut self) -> Result<(), String> {
        for first in std::mem::take(&mut self.to_repeat) {
            let again = self.ask(first.wish.clone()).await?;
            let repetition = Repetition {
                answer: format!("{} {}", again.status, again.body),
                is_the_same: (again.status, &again.body) == (first.status, &first.body),
                says_so: again.replays > 0,
            };
            let acts = self.till.acts.lock();
            let mut acts = acts.unwrap_or_else(PoisonError::into_inner);
            if let Some(act) = acts.iter_mut().find(|act| act.key == first.wish.key) {
                act.sent += again.sent;
                act.replays += again.replays;
                act.repetition = Some(repetition);
            }
        }
        Ok(())
    }
}

/// What an answer says.
pub(super) struct Told {
    pub(super) kind: Kind,
    pub(super) patient: Uuid,
    pub(super) document: Uuid,
    pub(super) resource: Uuid,
    pub(super) amount: i64,
    pub(super) number: Option<String>,
}

async fn ask(
    till: &Arc<Till>,
    random: &mut fastrand::Rng,
    name: String,
    wish: Wish,
) -> Result<Answered, String> {
    let load = &till.load;
    let login: &Login = match wish.who {
        Who::Cashier => load.administrator(),
        Who::Colleague => &till.colleague,
    };
    let function = wish.kind.function();
    let mut sent = 0;
    if random.u32(..ABANDONED) == 0 && !load.is_enough() {
        let call = wish.call(&login.visitor(&load.clinic).await);
        let _flying = load.requests.take_off(function);
        let _ = tokio::time::timeout(between(random, 1, 60), call.attempt()).await;
        sent += 1;
    }
    let call = |visitor: &Visitor| wish.call(visitor);
    let insisted = load.insist_as(login, random, &name, function, call);
    let (attempts, answer) = insisted.await;
    let answer = answer.ok_or_else(|| format!("{function} had no response"))?;
    Ok(Answered {
        name,
        status: answer.status,
        etag: header(&answer, "etag"),
        replays: header(&answer, "idempotency-replayed").is_some().into(),
        body: body_of(&answer),
        sent: sent + attempts,
        wish,
    })
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    let value = answer.headers.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

/// The body; of a refusal, only what does not name the request.
fn body_of(answer: &Answer) -> Value {
    match problem(answer) {
        Some(problem) => Value::String(format!("{}: {}", problem.kind, problem.detail)),
        None => serde_json::from_slice(&answer.body).unwrap_or_default(),
    }
}
