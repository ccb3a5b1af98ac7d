//! Functions that die while they run, and relays that interfere with each other.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join_all;
use serde_json::json;
use system_tests::Process;

use super::{FaultKind, Stage, stack};
use crate::{between, bookings::Change, cashiers, ledger::Kind};

/// How often to try to hit a process during a request.
const ATTEMPTS: usize = 20;

/// How long to wait for a request, and then for the news that it was cut off.
const LOOK_FOR: Duration = Duration::from_millis(1_500);

/// The gateway's response for a function that died.
const BAD_GATEWAY: u16 = 502;

/// The answers to a change that was made.
const DONE: [u16; 3] = [200, 201, 204];

/// The number of relays that run at the same time.
const RELAYS: usize = 3;

const RELAY: &str = "relay-outbox";
const BOOKING_RELAY: &str = "relay-appointment-events";
const BILLING_RELAY: &str = "relay-billing-events";
const SENDER: &str = "send-due-messages";
const IMPORTER: &str = "run-imports";

/// Kills the processes of a function a few milliseconds after a client's request was sent to it,
/// and repeats that until a client's request was cut off.
pub(super) async fn request_killed(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let kinds = [Kind::Create, Kind::Update, Kind::Update, Kind::Delete];
    let kind = kinds[random.usize(..kinds.len())];
    cut_off(stage, FaultKind::RequestKilled, kind.function(), random).await
}

/// The same for a function that the booking clients call.
pub(super) async fn booking_killed(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let changes = [
        Change::Book,
        Change::Book,
        Change::Confirm,
        Change::Move,
        Change::Cancel,
    ];
    let change = changes[random.usize(..changes.len())];
    cut_off(stage, FaultKind::BookingKilled, change.function(), random).await
}

/// The same for a function that the cashiers call.
pub(super) async fn cashier_killed(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let kind = AT_WORK[random.usize(..AT_WORK.len())];
    cut_off(stage, FaultKind::CashierKilled, kind.function(), random).await
}

/// What the cashiers do most.
const AT_WORK: [cashiers::Kind; 4] = [
    cashiers::Kind::Charge,
    cashiers::Kind::Draft,
    cashiers::Kind::Issue,
    cashiers::Kind::Pay,
];

/// Waits until the cashiers have asked for something, but not for long.
pub(super) async fn cashiers_at_work(stage: &Stage) {
    let requests = &stage.load.requests;
    let is_at_work = || {
        AT_WORK
            .iter()
            .any(|kind| requests.in_flight(kind.function()) > 0)
    };
    within_reach(is_at_work).await;
}

/// Kills the processes of a function right after one of them has answered that something was changed.
/// The broker is silent meanwhile, so that the delivery is not over by then.
pub(super) async fn delivery_killed(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let functions = [
        Kind::Create.function(),
        Kind::Create.function(),
        Kind::Update.function(),
        Kind::Delete.function(),
        Change::Book.function(),
        Change::Confirm.function(),
    ];
    let function = functions[random.usize(..functions.len())];
    let _part = stage.kafka.lock().await;
    let _fault = stage.begin(FaultKind::DeliveryKilled);
    let (stack, requests) = (stack()?, &stage.load.requests);
    let answered = || -> u64 {
        let statuses = DONE.iter().map(|&status| requests.count(function, status));
        statuses.sum()
    };
    for _ in 0..ATTEMPTS {
        within_reach(|| requests.in_flight(function) > 0).await;
        let frozen = Process::of_service(&stack, "kafka").freeze();
        let before = answered();
        let is_answered = within_reach(|| answered() > before).await;
        if is_answered {
            tokio::time::sleep(between(random, 0, 50)).await;
            for process in Process::of_function(&stack, function) {
                process.kill().await;
            }
        }
        drop(frozen);
        if is_answered {
            break;
        }
    }
    Ok(())
}

async fn cut_off(
    stage: &Stage,
    fault: FaultKind,
    function: &'static str,
    random: &mut fastrand::Rng,
) -> Result<()> {
    let _fault = stage.begin(fault);
    let (stack, requests) = (stack()?, &stage.load.requests);
    let before = requests.count(function, BAD_GATEWAY);
    for _ in 0..ATTEMPTS {
        // Finding the processes takes a while, during which a request would end.
        let processes = Process::of_function(&stack, function);
        within_reach(|| requests.in_flight(function) > 0).await;
        tokio::time::sleep(between(random, 0, 150)).await;
        for process in processes {
            process.kill().await;
        }
        if within_reach(|| requests.count(function, BAD_GATEWAY) > before).await {
            break;
        }
    }
    Ok(())
}

/// Whether the condition becomes true soon.
async fn within_reach(it_is_so: impl Fn() -> bool) -> bool {
    let give_up = Instant::now() + LOOK_FOR;
    while !it_is_so() && Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    it_is_so()
}

/// Kills a relay that has work while it does it.
pub(super) async fn relay_killed(
    stage: &Stage,
    fault: FaultKind,
    random: &mut fastrand::Rng,
) -> Result<()> {
    let _fault = stage.begin(fault);
    let relay = match fault {
        FaultKind::BookingRelayKilled => BOOKING_RELAY,
        FaultKind::BillingRelayKilled => BILLING_RELAY,
        _ => RELAY,
    };
    backlog(stage, random).await?;
    killed_at_work(stage, relay, random).await
}

/// Kills the sender of messages about appointments, or what imports files, several times in a row:
/// most of the time, they have little to do.
pub(super) async fn killed_repeatedly(
    stage: &Stage,
    fault: FaultKind,
    random: &mut fastrand::Rng,
) -> Result<()> {
    let _fault = stage.begin(fault);
    let function = match fault {
        FaultKind::ImportKilled => IMPORTER,
        _ => SENDER,
    };
    for _ in 0..random.usize(3..=6) {
        killed_at_work(stage, function, random).await?;
        tokio::time::sleep(between(random, 200, 1_500)).await;
    }
    Ok(())
}

/// Invokes a function, and kills its processes a few milliseconds later.
async fn killed_at_work(
    stage: &Stage,
    function: &'static str,
    random: &mut fastrand::Rng,
) -> Result<()> {
    let clinic = stage.clinic();
    let (moment, stack) = (between(random, 5, 400), stack()?);
    let killed = async {
        let before = Process::of_function(&stack, function);
        tokio::time::sleep(moment).await;
        let processes = if before.is_empty() {
            Process::of_function(&stack, function)
        } else {
            before
        };
        for process in processes {
            process.kill().await;
        }
    };
    let invoked = clinic.aws().invocation(function, &json!({})).attempt();
    let _ = tokio::join!(invoked, killed);
    Ok(())
}

pub(super) async fn relays_at_once(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _fault = stage.begin(FaultKind::RelaysAtOnce);
    backlog(stage, random).await?;
    let relays = (0..RELAYS).map(|_| async {
        let aws = stage.clinic().aws();
        aws.invocation(RELAY, &json!({})).attempt().await
    });
    join_all(relays).await;
    Ok(())
}

/// Makes requests leave their messages in the outbox: the broker is silent for longer than a
/// request waits for it.
async fn backlog(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.kafka.lock().await;
    let frozen = Process::of_service(&stack()?, "kafka").freeze();
    tokio::time::sleep(between(random, 2_000, 3_000)).await;
    drop(frozen);
    Ok(())
}
