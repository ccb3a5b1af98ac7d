//! `GET /api/analytics/billing`: what was invoiced and paid in a period, and what was open.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use api::{
    ClinicTimeZone, DayOrTime, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Repeatable, Unrecorded},
};
use audit_trail::Action;
use axum::{Json, Router};
use chrono::{NaiveDate, Utc};
use futures::future::try_join;
use identity::Permission;
use money::{Currency, Money};
use route::Route;
use serde::{Deserialize, Serialize};
use store::Table;
use utoipa::{IntoParams, ToSchema};

use crate::{
    billing::{
        cell::{Cell, MalformedCell, OPEN_BY_MONTH, days_of, month, open_days_of},
        figures::{Counter, Figures, MalformedCounter, Way},
        open::{Aging, Open},
    },
    counters::{AnalyticsTable, Item},
    months,
    period::Period,
};

/// Before every month.
const FIRST: &str = "0";

/// The route.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> = Route::get("/api/analytics/billing")
    .function("query-billing-analytics")
    .requires(Permission::ReadBillingReports)
    .refusals_are(Action::ReadBillingReports);

/// Serves the route.
pub fn routes(AnalyticsTable(table): AnalyticsTable) -> Router {
    ROUTE.served_by(query_billing_analytics, Arc::new(table))
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
    /// today.
    #[param(inline, value_type = Option<DayOrTime>)]
    to: Option<String>,
    /// What each group is of.
    #[serde(default)]
    #[param(inline, value_type = Option<GroupBy>)]
    group_by: GroupBy,
}

/// What each group is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BillingGroupBy)]
pub(crate) enum GroupBy {
    /// A day.
    #[default]
    Day,
    /// A month, or what the period has of it.
    Month,
}

/// What was invoiced and paid in a period, and what was open at the end of its days
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BillingAnalytics {
    /// The first day.
    from: NaiveDate,
    /// The last day.
    to: NaiveDate,
    group_by: GroupBy,
    /// All days or months, in order.
    groups: Vec<Group>,
    /// All groups together, and what was open at the end of the last day: each currency by itself.
    totals: Vec<BillingFigures>,
}

/// A day or a month
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BillingGroup)]
pub(crate) struct Group {
    /// The date, or the month, such as `2027-01`.
    key: String,
    /// The figures of each currency that has any in the whole period, in the order of their codes.
    currencies: Vec<BillingFigures>,
}

/// What was invoiced, paid and open in a currency
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BillingFigures {
    /// The currency of all these amounts.
    currency: Currency,
    revenue: BillingRevenue,
    takings: BillingTakings,
    aging: BillingAging,
}

/// What was earned, without tax: what was voided and credited counts on the day on which that was done
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BillingRevenue {
    /// What was issued.
    issued: Money,
    /// What was taken back of it.
    voided: Money,
    /// What credit notes took off.
    credited: Money,
    /// What is left of `issued` without the other two.
    revenue: Money,
    /// The tax on it.
    tax: Money,
    /// What was given up on this day, with tax. It is not taken off the revenue.
    written_off: Money,
}

/// What came in and was paid out
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BillingTakings {
    /// In coins and notes.
    cash: BillingTakingsOfWay,
    /// By card.
    card: BillingTakingsOfWay,
    /// By bank transfer.
    transfer: BillingTakingsOfWay,
    /// All together.
    total: BillingTakingsOfWay,
}

/// What came in and was paid out in one way, or in all
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BillingTakingsOfWay {
    /// The payments that were recorded.
    payments: Money,
    /// The payments that were reversed, whenever they were recorded.
    reversed: Money,
    /// The refunds that were paid out.
    refunds: Money,
    /// What is left of `payments` without the other two.
    net: Money,
    /// How many payments were recorded.
    payment_count: u64,
}

/// What was open at the end of the day, or of the last day of the month in the period. For days to
/// come, what is open now, if nothing happens until then.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BillingAging {
    /// On invoices whose last day was not over.
    not_due: Money,
    /// Overdue for 1 to 30 days.
    #[serde(rename = "days1To30")]
    days_1_to_30: Money,
    /// Overdue for 31 to 60 days.
    #[serde(rename = "days31To60")]
    days_31_to_60: Money,
    /// Overdue for 61 to 90 days.
    #[serde(rename = "days61To90")]
    days_61_to_90: Money,
    /// Overdue for longer.
    #[serde(rename = "over90Days")]
    over_90_days: Money,
    /// The sum.
    total: Money,
}

/// Count what was invoiced, paid and open
///
/// The revenue and the takings of each day or month, and what was open at its end, by how long it was
/// overdue. A day is one of the clinic's calendar, on which something was booked. The figures follow
/// the books within seconds, and say nothing about any patient.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "analytics",
    params(Question),
    responses(
        (status = 200, description = "The figures of each group, and of all together", body = BillingAnalytics),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn query_billing_analytics(
    clinic: ClinicTimeZone,
    State(table): State<Arc<Table>>,
    QueryInput(question): QueryInput<Question>,
) -> Result<Json<BillingAnalytics>, Problem> {
    let (from, to) = (question.from.as_deref(), question.to.as_deref());
    let period = Period::parse(from, to, clinic, Utc::now())?;
    let days = months::read(&table, period, days_of, read_day);
    let (days, mut open) = try_join(days, Changes::read(&table, period)).await?;

    let mut sums: BTreeMap<(Key, Currency), Figures> = BTreeMap::new();
    let mut totals: BTreeMap<Currency, Figures> = BTreeMap::new();
    let mut currencies = BTreeSet::new();
    for (day, currency, figures) in &days {
        let key = question.group_by.key(*day);
        *sums.entry((key, *currency)).or_default() += figures;
        *totals.entry(*currency).or_default() += figures;
        currencies.insert(*currency);
    }
    // The last day of a group is the one that stays.
    let mut agings: BTreeMap<Key, BTreeMap<Currency, Aging>> = BTreeMap::new();
    for day in period.days() {
        agings.insert(question.group_by.key(day), open.at_the_end_of(day));
    }
    currencies.extend(agings.values().flat_map(BTreeMap::keys));

    let none = (Figures::default(), BTreeMap::new());
    let groups = agings.iter().map(|(key, aging)| {
        let figures = currencies.iter().map(|currency| {
            let sums = sums.get(&(*key, *currency)).unwrap_or(&none.0);
            figures(*currency, sums, aging)
        });
        Ok(Group {
            key: key.to_string(),
            currencies: figures.collect::<Result<_, Problem>>()?,
        })
    });
    let groups = groups.collect::<Result<_, Problem>>()?;
    let at_last = agings.values().next_back().unwrap_or(&none.1);
    let totals = currencies.iter().map(|currency| {
        let sums = totals.get(currency).unwrap_or(&none.0);
        figures(*currency, sums, at_last)
    });
    Ok(Json(BillingAnalytics {
        from: period.from(),
        to: period.to(),
        group_by: question.group_by,
        groups,
        totals: totals.collect::<Result<_, Problem>>()?,
    }))
}

/// The name of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Day(NaiveDate),
    /// The first day of the month.
    Month(NaiveDate),
}

impl GroupBy {
    fn key(self, day: NaiveDate) -> Key {
        match self {
            Self::Day => Key::Day(day),
            Self::Month => Key::Month(crate::billing::cell::first_of(day)),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Month(first) => f.write_str(&month(*first)),
        }
    }
}

/// An item is not in the form in which cells are written.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error(transparent)]
    Cell(#[from] MalformedCell),
    #[error(transparent)]
    Counter(#[from] MalformedCounter),
}

fn read_day(sort: &str, item: &Item) -> Result<(NaiveDate, Currency, Figures), Malformed> {
    let (day, currency) = Cell::day(sort)?;
    Ok((day, currency, Figures::read(item)?))
}

/// What has become more or less due.
#[derive(Debug)]
struct Change {
    due_date: NaiveDate,
    currency: Currency,
    amount: i128,
}

fn read_change<'a>(sort: &'a str, item: &Item) -> Result<(&'a str, Change), Malformed> {
    let (at, due_date, currency) = Cell::open(sort)?;
    let amount = Figures::read(item)?.of(Counter::Due);
    let change = Change {
        due_date,
        currency,
        amount,
    };
    Ok((at, change))
}

/// What is open, and what changes it day by day.
#[derive(Debug, Default)]
struct Changes {
    open: Open,
    by_day: BTreeMap<NaiveDate, Vec<Change>>,
}

impl Changes {
    /// What was open before the first month of the period, and what has changed since.
    async fn read(table: &Table, period: Period) -> Result<Self, Problem> {
        let before = months::read_between(
            table,
            OPEN_BY_MONTH.to_owned(),
            (FIRST.to_owned(), month(period.from())),
            |sort, item| read_change(sort, item).map(|(_, change)| change),
        );
        let since = period.since_the_first_of_its_month();
        let days = months::read(table, since, open_days_of, |sort, item| {
            let (at, change) = read_change(sort, item)?;
            let day: NaiveDate = at.parse().map_err(|_| MalformedCell)?;
            Ok::<_, Malformed>((day, change))
        });
        let (before, days) = try_join(before, days).await?;
        let mut changes = Self::default();
        for change in before {
            changes.make(&change);
        }
        for (day, change) in days {
            changes.by_day.entry(day).or_default().push(change);
        }
        Ok(changes)
    }

    fn make(&mut self, change: &Change) {
        let Change {
            due_date,
            currency,
            amount,
        } = *change;
        self.open.change(currency, due_date, amount);
    }

    /// What is open at the end of a day, of which none later was asked for before.
    fn at_the_end_of(&mut self, day: NaiveDate) -> BTreeMap<Currency, Aging> {
        while let Some(next) = self.by_day.first_entry() {
            if *next.key() > day {
                break;
            }
            for change in next.remove() {
                self.make(&change);
            }
        }
        self.open.at(day)
    }
}

fn figures(
    currency: Currency,
    sums: &Figures,
    agings: &BTreeMap<Currency, Aging>,
) -> Result<BillingFigures, Problem> {
    let money = |amount: i128| {
        let units = i64::try_from(amount).map_err(Problem::internal)?;
        Ok::<_, Problem>(Money::sum(currency, units))
    };
    let of = |counter| sums.of(counter);
    let (issued, voided, credited) = (
        of(Counter::Issued),
        of(Counter::Voided),
        of(Counter::Credited),
    );
    let ways = |ways: &[Way]| {
        let sum =
            |of_way: fn(&Way) -> Counter| -> i128 { ways.iter().map(|way| of(of_way(way))).sum() };
        let (payments, reversed, refunds) = (
            sum(|way| way.payments),
            sum(|way| way.reversed),
            sum(|way| way.refunds),
        );
        Ok::<_, Problem>(BillingTakingsOfWay {
            payments: money(payments)?,
            reversed: money(reversed)?,
            refunds: money(refunds)?,
            net: money(payments - reversed - refunds)?,
            payment_count: u64::try_from(sum(|way| way.count)).map_err(Problem::internal)?,
        })
    };
    let aging = agings.get(&currency).copied().unwrap_or_default();
    Ok(BillingFigures {
        currency,
        revenue: BillingRevenue {
            issued: money(issued)?,
            voided: money(voided)?,
            credited: money(credited)?,
            revenue: money(issued - voided - credited)?,
            tax: money(of(Counter::Tax))?,
            written_off: money(of(Counter::WrittenOff))?,
        },
        takings: BillingTakings {
            cash: ways(&[Way::CASH])?,
            card: ways(&[Way::CARD])?,
            transfer: ways(&[Way::TRANSFER])?,
            total: ways(&[Way::CASH, Way::CARD, Way::TRANSFER])?,
        },
        aging: BillingAging {
            not_due: money(aging.not_due)?,
            days_1_to_30: money(aging.to_30)?,
            days_31_to_60: money(aging.to_60)?,
            days_61_to_90: money(aging.to_90)?,
            over_90_days: money(aging.over_90)?,
            total: money(aging.not_due + aging.to_30 + aging.to_60 + aging.to_90 + aging.over_90)?,
        },
    })
}
