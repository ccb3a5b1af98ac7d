//! `GET /api/analytics/appointments`: what became of the appointments of a period.
//!
//! Hours are read for days, weekdays and hours, teams for services and providers.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    ClinicTimeZone, DayOrTime, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Repeatable, Unrecorded},
};
use audit_trail::Action;
use axum::{Json, Router};
use chrono::{NaiveDate, Utc};
use identity::Permission;
use route::Route;
use serde::{Deserialize, Serialize};
use store::Table;
use utoipa::{IntoParams, ToSchema};

use crate::{
    appointments::{
        cell::{Cell, Division, MalformedCell},
        figures::{Counter, Figures, MalformedCounter},
        group::{GroupBy, Key},
    },
    counters::{AnalyticsTable, Item},
    months,
    period::Period,
};

/// The route.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> =
    Route::get("/api/analytics/appointments")
        .function("query-appointment-analytics")
        .requires(Permission::ReadAnalytics)
        .refusals_are(Action::ReadAnalytics);

/// Serves the route.
pub fn routes(AnalyticsTable(table): AnalyticsTable) -> Router {
    ROUTE.served_by(query_appointment_analytics, Arc::new(table))
}

/// The period, and how it is divided.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Question {
    /// The first day, or a time on it (RFC 3339), which stands for its day in the clinic's time
    /// zone. By default, 29 days before `to`.
    #[param(inline, value_type = Option<DayOrTime>)]
    from: Option<String>,
    /// The last day, or a time before which the period ends; at most 366 days in all. By default,
    /// today. Appointments of days to come count as well.
    #[param(inline, value_type = Option<DayOrTime>)]
    to: Option<String>,
    /// What each group is of.
    #[serde(default)]
    #[param(inline, value_type = Option<GroupBy>)]
    group_by: GroupBy,
}

/// What became of the appointments of a period.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppointmentAnalytics {
    /// The first day.
    from: NaiveDate,
    /// The last day.
    to: NaiveDate,
    group_by: GroupBy,
    /// Days, weekdays and hours: all of them, in order. Services and providers: those who have any
    /// appointments, in the order of their ids.
    groups: Vec<Group>,
    /// All groups together. Each appointment counts once, also if it has two providers.
    totals: AppointmentCounts,
}

/// The appointments of a day, service, provider, weekday or hour.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AppointmentGroup)]
pub(crate) struct Group {
    /// The date; the id of the service, or of the clinician (of each resource, if there is no
    /// clinician); the weekday, such as `MONDAY`; the hour on the clock, from `00` to `23`; or both,
    /// such as `MONDAY-09`.
    key: String,
    #[serde(flatten)]
    counts: AppointmentCounts,
}

/// What became of some appointments. Each is in one of `booked`, `arrived`, `fulfilled`, `noShow`
/// and `cancelled`: what it is now, on the day that it is for, on the clock of its location.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppointmentCounts {
    /// How many there are, including those that were cancelled.
    appointments: u64,
    /// The patient is expected.
    booked: u64,
    /// The patient is there.
    arrived: u64,
    /// It has taken place.
    fulfilled: u64,
    /// The patient did not come.
    no_show: u64,
    /// It will not take place.
    cancelled: u64,
    /// How many of them have been moved at least once, wherever they were before.
    rescheduled: u64,
    /// How many of them came without an appointment.
    walk_ins: u64,
    /// The share of no-shows among those whose patients had an appointment and either came or did
    /// not, from 0 to 1; null if there are none.
    #[schema(required)]
    no_show_rate: Option<f64>,
    minutes: AppointmentMinutes,
    lead_time_days: LeadTime,
    activity: AppointmentActivity,
}

/// How long appointments are, in minutes. Each counts in the hour in which it starts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppointmentMinutes {
    /// All that were not cancelled.
    booked: u64,
    /// Those whose patients came.
    occupied: u64,
}

/// How many days lie between the booking, or the hold before it, and the appointment. Those that
/// were cancelled, and patients who came without an appointment, are left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppointmentLeadTime)]
pub(crate) struct LeadTime {
    /// The average; null if there are none.
    #[schema(required)]
    average: Option<f64>,
    /// How many have which.
    bands: LeadTimeBands,
}

/// How many appointments were booked how many days before.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppointmentsByLeadTime)]
pub(crate) struct LeadTimeBands {
    /// On the day itself.
    #[serde(rename = "0")]
    same_day: u64,
    /// 1 to 7.
    #[serde(rename = "1-7")]
    within_a_week: u64,
    /// 8 to 14.
    #[serde(rename = "8-14")]
    within_two_weeks: u64,
    /// 15 to 30.
    #[serde(rename = "15-30")]
    within_a_month: u64,
    /// 31 or more.
    #[serde(rename = "31+")]
    earlier: u64,
}

/// What was done on these days, weekdays or hours in the clinic's time zone, or for these services
/// or providers, whatever day the appointments are for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppointmentActivity {
    /// Bookings, including holds that were confirmed.
    booked: u64,
    /// Moves to another time or other resources.
    rescheduled: u64,
    /// Cancellations, by the clinic and by patients.
    cancelled: u64,
}

/// Count what became of appointments
///
/// What became of the appointments of each day, service, provider, weekday or hour, how much time
/// they take up, and how long before they were booked. Besides, what was done in this period.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "analytics",
    params(Question),
    responses(
        (status = 200, description = "The counts of each group, and of all together", body = AppointmentAnalytics),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn query_appointment_analytics(
    clinic: ClinicTimeZone,
    State(table): State<Arc<Table>>,
    QueryInput(question): QueryInput<Question>,
) -> Result<Json<AppointmentAnalytics>, Problem> {
    let (from, to) = (question.from.as_deref(), question.to.as_deref());
    let period = Period::parse(from, to, clinic, Utc::now())?;
    let group_by = question.group_by;
    let division = group_by.division();

    let cells = months::read(
        &table,
        period,
        |month| division.partition(month),
        |sort, item| read_cell(division, sort, item),
    )
    .await?;

    let mut totals = Figures::default();
    let none = |key| (key, Figures::default());
    let mut groups: BTreeMap<Key, Figures> = group_by.all_keys(period).map(none).collect();
    for (cell, figures) in &cells {
        totals += figures;
        for key in group_by.keys(cell) {
            *groups.entry(key).or_default() += figures;
        }
    }
    if matches!(group_by, GroupBy::Service | GroupBy::Provider) {
        // Whoever had appointments that were all moved to others.
        groups.retain(|_, figures| figures.changes().next().is_some());
    }
    let group = |(key, figures): (Key, Figures)| Group {
        key: key.to_string(),
        counts: (&figures).into(),
    };
    Ok(Json(AppointmentAnalytics {
        from: period.from(),
        to: period.to(),
        group_by,
        groups: groups.into_iter().map(group).collect(),
        totals: (&totals).into(),
    }))
}

/// An item is not in the form in which cells are written.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error(transparent)]
    Cell(#[from] MalformedCell),
    #[error(transparent)]
    Counter(#[from] MalformedCounter),
}

fn read_cell(division: Division, sort: &str, item: &Item) -> Result<(Cell, Figures), Malformed> {
    Ok((division.cell(sort)?, Figures::read(item)?))
}

impl From<&Figures> for AppointmentCounts {
    fn from(figures: &Figures) -> Self {
        let of = |counter| figures.of(counter);
        let (arrived, fulfilled) = (of(Counter::Arrived), of(Counter::Fulfilled));
        let (no_show, walk_ins) = (of(Counter::NoShow), of(Counter::WalkIns));
        let came = (arrived + fulfilled).saturating_sub(walk_ins);
        let bands = LeadTimeBands {
            same_day: of(Counter::LeadOf0),
            within_a_week: of(Counter::LeadOf1To7),
            within_two_weeks: of(Counter::LeadOf8To14),
            within_a_month: of(Counter::LeadOf15To30),
            earlier: of(Counter::LeadOf31),
        };
        let (booked, cancelled) = (of(Counter::Booked), of(Counter::Cancelled));
        Self {
            appointments: booked + arrived + fulfilled + no_show + cancelled,
            booked,
            arrived,
            fulfilled,
            no_show,
            cancelled,
            rescheduled: of(Counter::Rescheduled),
            walk_ins,
            no_show_rate: quotient(no_show, came + no_show, 4),
            minutes: AppointmentMinutes {
                booked: of(Counter::BookedMinutes),
                occupied: of(Counter::OccupiedMinutes),
            },
            lead_time_days: LeadTime {
                average: quotient(of(Counter::LeadDays), bands.sum(), 1),
                bands,
            },
            activity: AppointmentActivity {
                booked: of(Counter::MadeBooked),
                rescheduled: of(Counter::MadeRescheduled),
                cancelled: of(Counter::MadeCancelled),
            },
        }
    }
}

impl LeadTimeBands {
    const fn sum(&self) -> u64 {
        self.same_day
            + self.within_a_week
            + self.within_two_weeks
            + self.within_a_month
            + self.earlier
    }
}

/// How often the divisor fits into the dividend, to so many decimals; none if it is 0.
fn quotient(dividend: u64, divisor: u64, decimals: u32) -> Option<f64> {
    let scale = 10_u64.pow(decimals);
    let scaled = (dividend * scale + divisor / 2).checked_div(divisor)?;
    let whole = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    Some(whole(scaled) / whole(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(figures: &[(Counter, i64)]) -> AppointmentCounts {
        let mut sum = Figures::default();
        for (counter, number) in figures {
            sum.add(*counter, *number);
        }
        (&sum).into()
    }

    #[test]
    fn quotients_are_rounded() {
        assert_eq!(quotient(1, 3, 4), Some(0.3333));
        assert_eq!(quotient(2, 3, 4), Some(0.6667));
        assert_eq!(quotient(0, 7, 4), Some(0.0));
        assert_eq!(quotient(7, 7, 4), Some(1.0));
        assert_eq!(quotient(13, 2, 1), Some(6.5));
        assert_eq!(quotient(0, 0, 1), None);
    }

    #[test]
    fn whoever_comes_without_an_appointment_cannot_be_a_no_show() {
        let counts = counts(&[
            (Counter::Arrived, 2),
            (Counter::Fulfilled, 3),
            (Counter::WalkIns, 2),
            (Counter::NoShow, 1),
            (Counter::Booked, 5),
            (Counter::Cancelled, 4),
        ]);
        assert_eq!(counts.appointments, 15);
        assert_eq!(counts.no_show_rate, Some(0.25));
        let none = super::tests::counts(&[(Counter::Booked, 1), (Counter::Cancelled, 1)]);
        assert_eq!(none.no_show_rate, None);
    }

    #[test]
    fn the_average_lead_time_is_of_those_in_the_bands() {
        let counts = counts(&[
            (Counter::Cancelled, 9),
            (Counter::LeadDays, 20),
            (Counter::LeadOf0, 2),
            (Counter::LeadOf15To30, 1),
        ]);
        assert_eq!(counts.lead_time_days.average, Some(6.7));
    }
}
