//! Whatever happens to appointments, and in whatever order it is heard of, the table says what a
//! recount of all events says.

use std::collections::{BTreeMap, BTreeSet};

use analytics::count_appointment_events::count;
use api::ClinicTimeZone;
use axum::body::Body;
use chrono::{DateTime, NaiveDate, TimeDelta, Timelike as _, Utc};
use events::{AppointmentChange, AppointmentEvent, Effect};
use http::Request;
use identity::{Role, testing::as_caller};
use serde_json::{Value, json};
use store::testing;
use uuid::Uuid;
use zones::Zone;

use crate::{
    appointment_events::{
        ARRIVED, CANCELLED, CORRECTED, WALKED_IN, answer, booked, moved, next, starts,
    },
    delivery::{deliver, lose_some},
};

const CLINIC: &str = "Europe/Berlin";

/// How many appointments.
const APPOINTMENTS: usize = 60;

const PARTITIONS: usize = 6;

#[tokio::test]
async fn a_recount_says_what_the_table_says() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let stories: Vec<_> = (0..APPOINTMENTS).map(|_| story(&mut random)).collect();
    let (table, wire) = testing::wired_table().await;
    lose_some(&wire, seed);
    let clinic = ClinicTimeZone::parse(CLINIC).unwrap();
    // In any order, and some of it twice.
    let mut partitions = vec![Vec::new(); PARTITIONS];
    for (number, story) in stories.iter().enumerate() {
        let partition = &mut partitions[number % PARTITIONS];
        partition.extend_from_slice(story);
        partition.extend_from_slice(&story[..story.len() / 2]);
    }
    for partition in &mut partitions {
        random.shuffle(partition);
    }
    deliver(&partitions, &mut random, async |batch| {
        let handled = count(&table, clinic, batch).await;
        assert!(!handled.effects.contains(&Effect::OutOfDate));
        handled
    })
    .await;

    let query = "from=2026-01-01&to=2026-12-31";
    for group_by in [
        "day",
        "service",
        "provider",
        "weekday",
        "hour",
        "weekdayHour",
    ] {
        let uri = format!("/api/analytics/appointments?{query}&groupBy={group_by}");
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let (_, body) = answer(&table, clinic, as_caller(request, Role::Auditor)).await;
        let said: BTreeMap<String, Value> = body["groups"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|group| **group != Tally::default().json(group["key"].as_str().unwrap()))
            .map(|group| (group["key"].as_str().unwrap().to_owned(), group.clone()))
            .collect();
        let recounted: BTreeMap<String, Value> = recount(&stories, group_by)
            .into_iter()
            .map(|(key, tally)| {
                let group = tally.json(&key);
                (key, group)
            })
            .collect();
        assert_eq!(said, recounted, "by {group_by}, seed {seed}");
        let mut totals = body["totals"].clone();
        totals["key"] = json!("");
        let all = recount(&stories, "").remove("").unwrap();
        assert_eq!(totals, all.json(""), "by {group_by}, seed {seed}");
    }
}

/// What happens to an appointment, in order.
fn story(random: &mut fastrand::Rng) -> Vec<AppointmentEvent> {
    let zone = ["Etc/UTC", "Europe/Berlin", "America/New_York"][random.usize(..3)];
    let mut time = minutes_after("2026-02-01T00:00:00Z", random.i64(0..60 * 24 * 60));
    let mut first = booked(&time.to_rfc3339(), &some_time(random), zone);
    first.appointment_version = random.i64(1..=2);
    first.appointment.service_id = Uuid::from_u128(random.u128(1..=3));
    first.appointment.clinician_ids = people(random, 10);
    first.appointment.resource_ids = people(random, 20);
    if random.u8(..10) == 0 {
        first.change = WALKED_IN;
    }
    let mut story = vec![first];
    loop {
        let last = &story[story.len() - 1];
        time += TimeDelta::minutes(random.i64(1..3000));
        let at = time.to_rfc3339();
        let then = |change| next(last, &at, change);
        let mut event = match (&last.change, random.u8(..6)) {
            (AppointmentChange::Fulfilled | AppointmentChange::Cancelled { .. }, _)
            | (AppointmentChange::Arrived { .. }, 0)
            | (AppointmentChange::NoShow, 0..4) => break,
            (AppointmentChange::Arrived { .. }, _) => then(AppointmentChange::Fulfilled),
            (AppointmentChange::NoShow, _) => then(CORRECTED),
            (_, 0) => moved(last, &at, &some_time(random)),
            (_, 1) => then(AppointmentChange::Orphaned),
            (_, 2) => then(CANCELLED),
            (_, 3) => then(ARRIVED),
            (_, 4) => then(AppointmentChange::NoShow),
            (_, _) => {
                let mut event = moved(last, &at, &some_time(random));
                if let AppointmentChange::Rescheduled {
                    by_time_zone_rules, ..
                } = &mut event.change
                {
                    *by_time_zone_rules = random.bool();
                }
                event.appointment.clinician_ids = people(random, 10);
                let local_start = event.appointment.local_start;
                let start = local_start.format("%Y-%m-%dT%H:%M:%S").to_string();
                starts(&mut event.appointment, &start, random.i64(1..=9) * 5);
                event
            }
        };
        event.appointment_version += random.i64(0..=1);
        story.push(event);
    }
    story
}

fn minutes_after(time: &str, minutes: i64) -> DateTime<Utc> {
    time.parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minutes)
}

/// Around the change of the clocks.
fn some_time(random: &mut fastrand::Rng) -> String {
    let time = minutes_after("2026-03-20T00:00:00Z", random.i64(0..20 * 24 * 4) * 15);
    time.format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// None, one or two.
fn people(random: &mut fastrand::Rng, from: u128) -> Vec<Uuid> {
    let people: BTreeSet<u128> = (0..random.usize(..=2))
        .map(|_| random.u128(from..from + 4))
        .collect();
    people.into_iter().map(Uuid::from_u128).collect()
}

#[derive(Default, Clone)]
struct Tally {
    states: BTreeMap<&'static str, u32>,
    rescheduled: u32,
    walk_ins: u32,
    booked_minutes: i64,
    occupied_minutes: i64,
    lead_times: Vec<u32>,
    activity: BTreeMap<&'static str, u32>,
}

impl Tally {
    fn json(&self, key: &str) -> Value {
        let state = |name| self.states.get(name).copied().unwrap_or_default();
        let activity = |name| self.activity.get(name).copied().unwrap_or_default();
        let came = state("arrived") + state("fulfilled") - self.walk_ins;
        let within = |days: std::ops::RangeInclusive<u32>| {
            let lead_times = self.lead_times.iter();
            lead_times.filter(|lead| days.contains(lead)).count()
        };
        let share = |part: u32, all: u32, scale: f64| {
            let exact = f64::from(part) / f64::from(all);
            if all == 0 {
                Value::Null
            } else {
                json!((exact * scale).round() / scale)
            }
        };
        let missed = state("no-show");
        let number = u32::try_from(self.lead_times.len()).unwrap();
        json!({
            "key": key,
            "appointments": self.states.values().sum::<u32>(),
            "booked": state("booked"),
            "arrived": state("arrived"),
            "fulfilled": state("fulfilled"),
            "noShow": missed,
            "cancelled": state("cancelled"),
            "rescheduled": self.rescheduled,
            "walkIns": self.walk_ins,
            "noShowRate": share(missed, came + missed, 10_000.0),
            "minutes": { "booked": self.booked_minutes, "occupied": self.occupied_minutes },
            "leadTimeDays": {
                "average": share(self.lead_times.iter().sum(), number, 10.0),
                "bands": {
                    "0": within(0..=0), "1-7": within(1..=7), "8-14": within(8..=14),
                    "15-30": within(15..=30), "31+": within(31..=u32::MAX),
                },
            },
            "activity": {
                "booked": activity("booked"),
                "rescheduled": activity("rescheduled"),
                "cancelled": activity("cancelled"),
            },
        })
    }
}

/// Counts everything again, from the last event of each appointment and from all that happened.
fn recount(stories: &[Vec<AppointmentEvent>], group_by: &str) -> BTreeMap<String, Tally> {
    let mut groups: BTreeMap<String, Tally> = BTreeMap::new();
    let clinic = Zone::named(CLINIC).unwrap();
    let by_rules = |event: &AppointmentEvent| {
        matches!(
            event.change,
            AppointmentChange::Rescheduled {
                by_time_zone_rules: true,
                ..
            }
        )
    };
    for story in stories {
        let last = &story[story.len() - 1];
        let start = last.appointment.local_start;
        let minutes = (last.appointment.ends_at - last.appointment.starts_at).num_minutes();
        let created_at = last.appointment.created_at;
        let zone = Zone::named(&last.appointment.time_zone).unwrap();
        let lead = (start.date() - zone.date(created_at)).num_days().max(0);
        let lead = u32::try_from(lead).unwrap();
        let state = match last.change.kind() {
            "rescheduled" | "orphaned" => "booked",
            kind => kind,
        };
        let walked_in = story.iter().any(|event| event.change == WALKED_IN);
        let was_moved = story
            .iter()
            .any(|event| event.change.kind() == "rescheduled" && !by_rules(event));
        for key in keys(last, start.date(), start.hour(), group_by) {
            let tally = groups.entry(key).or_default();
            *tally.states.entry(state).or_default() += 1;
            tally.rescheduled += u32::from(was_moved);
            tally.walk_ins += u32::from(walked_in);
            if state != "cancelled" {
                tally.booked_minutes += minutes;
                tally.lead_times.extend((!walked_in).then_some(lead));
            }
            if ["arrived", "fulfilled"].contains(&state) {
                tally.occupied_minutes += minutes;
            }
        }
        for event in story.iter().filter(|event| !by_rules(event)) {
            let kind = event.change.kind();
            if !["booked", "rescheduled", "cancelled"].contains(&kind) {
                continue;
            }
            let made = clinic.local(event.occurred_at);
            for key in keys(event, made.date_naive(), made.hour(), group_by) {
                let activity = &mut groups.entry(key).or_default().activity;
                *activity.entry(kind).or_default() += 1;
            }
        }
    }
    groups
}

fn keys(event: &AppointmentEvent, day: NaiveDate, hour: u32, group_by: &str) -> Vec<String> {
    let appointment = &event.appointment;
    let providers = if appointment.clinician_ids.is_empty() {
        &appointment.resource_ids
    } else {
        &appointment.clinician_ids
    };
    let weekday = day.format("%A").to_string().to_uppercase();
    match group_by {
        "day" => vec![day.to_string()],
        "service" => vec![appointment.service_id.to_string()],
        "provider" => providers.iter().map(Uuid::to_string).collect(),
        "weekday" => vec![weekday],
        "hour" => vec![format!("{hour:02}")],
        "weekdayHour" => vec![format!("{weekday}-{hour:02}")],
        _ => vec![String::new()],
    }
}
