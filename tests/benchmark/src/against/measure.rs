//! Both commits and the bare SQL, in blocks that alternate.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::future::try_join_all;
use uuid::Uuid;

use super::{
    contender::Contender,
    outcome::{Compared, Figures, Measure},
    request::{PAGE, Request},
};
use crate::{
    Options,
    bare_sql::BareSql,
    environment::Environment,
    package,
    patients::{NewPatient, answered},
    processor_time::of_process,
    say,
    statistics::Durations,
};

/// How many requests, one after another, before it is another's turn.
const BLOCK: u32 = 25;
/// How many environments work at once, and how many requests each of them handles before it is
/// another's turn.
const CONNECTIONS: usize = 8;
const EACH: u32 = 10;

/// Measures a function of both commits, and the SQL that it stands for.
///
/// # Errors
/// If one of them answers anything but what is expected.
pub(super) async fn measure(
    request: Request,
    contenders: &mut [Contender<'_>; 2],
    options: &Options,
) -> Result<Compared> {
    let function = request.function();
    say(&format!("{function}: cold requests"))?;
    let [theirs, ours] = contenders;
    let mut sides = [
        Side::of_function(request, theirs, "theirs").await?,
        Side::of_function(request, ours, "ours").await?,
        Side::of_sql(request, ours).await?,
    ];
    // The first of each reads its program from the disk.
    for round in 0..=options.starts {
        for side in turns(round) {
            let duration = sides[side].cold(request).await?;
            if round > 0 {
                sides[side].tally.cold.record(duration)?;
            }
        }
    }
    let rounds = options.iterations.div_ceil(BLOCK);
    let warm_up = (rounds / 10).max(1);
    for round in 0..warm_up + rounds {
        let counts = round >= warm_up;
        if round % 5 == 0 {
            say(&format!(
                "{function}: warm requests, round {round} of {}",
                warm_up + rounds
            ))?;
        }
        for side in turns(round) {
            sides[side].one_by_one(request, counts).await?;
        }
        for side in turns(round) {
            sides[side].at_once(request, counts).await?;
        }
    }
    let [theirs, ours, bare] = sides;
    Ok(Compared {
        theirs: theirs.finish().await?,
        ours: ours.finish().await?,
        bare: bare.finish().await?,
    })
}

/// Who is first changes with each round.
fn turns(round: u32) -> [usize; 3] {
    match round % 3 {
        0 => [0, 1, 2],
        1 => [1, 2, 0],
        _ => [2, 0, 1],
    }
}

/// What was measured of one side.
struct Tally {
    cold: Durations,
    warm: Durations,
    one_by_one: u32,
    function: Duration,
    database: Duration,
    at_once: u32,
    at_once_took: Duration,
}

struct Side<'a> {
    database: &'a Contender<'a>,
    clients: Clients,
    tally: Tally,
    asked: usize,
}

enum Clients {
    Functions {
        label: &'static str,
        environments: Vec<Environment>,
        created: Vec<Uuid>,
    },
    Sql(Vec<BareSql>),
}

impl<'a> Side<'a> {
    async fn of_function(
        request: Request,
        contender: &'a Contender<'a>,
        label: &'static str,
    ) -> Result<Self> {
        let mut environments = Vec::new();
        for _ in 0..CONNECTIONS {
            let (mut environment, _) = Environment::start(&contender.subject)
                .await
                .with_context(|| label)?;
            let event = request.event(&contender.sample, contender.patients[0])?;
            let answer = environment.invoke(event).await.with_context(|| label)?;
            request.check(&answer.body).with_context(|| label)?;
            environments.push(environment);
        }
        let clients = Clients::Functions {
            label,
            environments,
            created: Vec::new(),
        };
        Self::of(contender, clients)
    }

    async fn of_sql(request: Request, contender: &'a Contender<'a>) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut sql = BareSql::connect_to(&contender.database.pool).await?;
            ask(request, &mut sql, contender.patients[0]).await?;
            connections.push(sql);
        }
        Self::of(contender, Clients::Sql(connections))
    }

    fn of(database: &'a Contender<'a>, clients: Clients) -> Result<Self> {
        let tally = Tally {
            cold: Durations::new()?,
            warm: Durations::new()?,
            one_by_one: 0,
            function: Duration::ZERO,
            database: Duration::ZERO,
            at_once: 0,
            at_once_took: Duration::ZERO,
        };
        Ok(Self {
            database,
            clients,
            tally,
            asked: 0,
        })
    }

    /// Another patient each time.
    fn next_patient(&mut self) -> Uuid {
        self.asked += 1;
        self.database.patients[self.asked % self.database.patients.len()]
    }

    fn events(&mut self, request: Request, number: u32) -> Result<Vec<Bytes>> {
        (0..number)
            .map(|_| {
                let patient = self.next_patient();
                request.event(&self.database.sample, patient)
            })
            .collect()
    }

    /// From the start of a process, or of a connection, until the first answer is there.
    async fn cold(&mut self, request: Request) -> Result<Duration> {
        let patient = self.next_patient();
        if let Clients::Sql(_) = self.clients {
            let pool = store::pool_of(self.database.database.url.parse()?);
            let begin = Instant::now();
            let mut sql = BareSql::connect_to(&pool).await?;
            ask(request, &mut sql, patient).await?;
            return Ok(begin.elapsed());
        }
        let event = request.event(&self.database.sample, patient)?;
        let begin = Instant::now();
        let (mut environment, _) = Environment::start(&self.database.subject).await?;
        let answer = environment.invoke(event).await?;
        let duration = begin.elapsed();
        request.check(&answer.body)?;
        Ok(duration)
    }

    /// A block on one connection.
    async fn one_by_one(&mut self, request: Request, counts: bool) -> Result<()> {
        let events = self.events(request, BLOCK)?;
        let before = self.processor_time().await?;
        let mut durations = Vec::new();
        match &mut self.clients {
            Clients::Functions {
                label,
                environments,
                created,
            } => {
                let environment = &mut environments[0];
                for event in events {
                    let answer = environment.invoke(event).await?;
                    request.check(&answer.body).with_context(|| *label)?;
                    note_created(request, &answer.body, created)?;
                    durations.push(answer.duration);
                    environment.ready().await?;
                }
            }
            Clients::Sql(connections) => {
                for _ in 0..BLOCK {
                    self.asked += 1;
                    let patients = &self.database.patients;
                    let patient = patients[self.asked % patients.len()];
                    durations.push(ask(request, &mut connections[0], patient).await?);
                }
            }
        }
        let after = self.processor_time().await?;
        if counts {
            for duration in durations {
                self.tally.warm.record(duration)?;
            }
            self.tally.one_by_one += BLOCK;
            self.tally.function += after.function.saturating_sub(before.function);
            self.tally.database += since(&before.backends, &after.backends);
        }
        Ok(())
    }

    /// A block on all connections at once.
    async fn at_once(&mut self, request: Request, counts: bool) -> Result<()> {
        let mut events = Vec::new();
        for _ in 0..CONNECTIONS {
            events.push(self.events(request, EACH)?);
        }
        let patients = &self.database.patients;
        let begin = Instant::now();
        match &mut self.clients {
            Clients::Functions {
                label,
                environments,
                created,
            } => {
                let label = *label;
                let all = environments.iter_mut().zip(events);
                let all = all.map(async |(environment, events)| {
                    let mut answers = Vec::new();
                    for event in events {
                        answers.push(environment.invoke(event).await?.body);
                    }
                    environment.ready().await?;
                    anyhow::Ok(answers)
                });
                let answers = try_join_all(all).await?;
                let took = begin.elapsed();
                for answer in answers.iter().flatten() {
                    request.check(answer).with_context(|| label)?;
                    note_created(request, answer, created)?;
                }
                self.tally.count_at_once(took, counts);
            }
            Clients::Sql(connections) => {
                let all = connections.iter_mut().enumerate();
                try_join_all(all.map(async |(number, sql)| {
                    for patient in patients.iter().cycle().skip(number).take(EACH as usize) {
                        ask(request, sql, *patient).await?;
                    }
                    anyhow::Ok(())
                }))
                .await?;
                self.tally.count_at_once(begin.elapsed(), counts);
            }
        }
        Ok(())
    }

    async fn processor_time(&mut self) -> Result<Used> {
        Ok(match &mut self.clients {
            Clients::Functions { environments, .. } => Used {
                function: of_process(environments[0].id())?,
                backends: self.database.backends().await?,
            },
            Clients::Sql(connections) => {
                let backend = connections[0].backend().await?;
                Used {
                    function: Duration::ZERO,
                    backends: BTreeMap::from([(backend, of_process(backend)?)]),
                }
            }
        })
    }

    async fn finish(self) -> Result<Figures> {
        let Tally {
            cold,
            warm,
            one_by_one,
            function,
            database,
            at_once,
            at_once_took,
        } = self.tally;
        let each = |time: Duration| time.as_secs_f64() * 1000.0 / f64::from(one_by_one);
        let mut figures = BTreeMap::from([
            (Measure::P50, warm.summary().p50),
            (Measure::P99, warm.summary().p99),
            (
                Measure::Rate,
                f64::from(at_once) / at_once_took.as_secs_f64(),
            ),
            (Measure::Database, each(database)),
            (Measure::ColdMedian, cold.summary().p50),
            (Measure::ColdLowest, cold.summary().min),
        ]);
        let mut undelivered = None;
        if let Clients::Functions {
            environments,
            created,
            ..
        } = self.clients
        {
            let zipped = package::zipped_size(&self.database.subject.program)?;
            figures.extend([
                (Measure::Function, each(function)),
                (Measure::Memory, number(environments[0].peak_memory()?)),
                (Measure::Zipped, number(zipped)),
            ]);
            if !created.is_empty() {
                let mut sql = BareSql::connect_to(&self.database.database.pool).await?;
                undelivered = Some(sql.undelivered(&created).await?);
            }
        }
        Ok(Figures {
            measures: figures,
            undelivered,
        })
    }
}

impl Tally {
    fn count_at_once(&mut self, took: Duration, counts: bool) {
        if counts {
            self.at_once += EACH * u32::try_from(CONNECTIONS).unwrap_or_default();
            self.at_once_took += took;
        }
    }
}

struct Used {
    function: Duration,
    backends: BTreeMap<u32, Duration>,
}

/// What those that are still there have used meanwhile.
fn since(before: &BTreeMap<u32, Duration>, after: &BTreeMap<u32, Duration>) -> Duration {
    let used = after.iter().map(|(backend, time)| {
        let earlier = before.get(backend).copied().unwrap_or_default();
        time.saturating_sub(earlier)
    });
    used.sum()
}

#[expect(clippy::cast_precision_loss, reason = "bytes for people")]
const fn number(bytes: u64) -> f64 {
    bytes as f64
}

fn note_created(request: Request, answer: &[u8], created: &mut Vec<Uuid>) -> Result<()> {
    if request == Request::Create {
        created.push(answered(answer, 201)?);
    }
    Ok(())
}

/// The SQL that the request stands for.
async fn ask(request: Request, sql: &mut BareSql, patient: Uuid) -> Result<Duration> {
    match request {
        Request::Get => sql.get(patient).await,
        Request::List => sql.list(PAGE).await,
        // Nobody relays anything in this database.
        Request::Create => Ok(sql.insert(&NewPatient::fresh()).await?.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_first_second_and_last_equally_often() {
        let rounds: Vec<_> = (0..3).map(turns).collect();
        for place in 0..3 {
            let mut sides: Vec<_> = rounds.iter().map(|turns| turns[place]).collect();
            sides.sort_unstable();
            assert_eq!(sides, [0, 1, 2]);
        }
    }

    #[test]
    fn connections_that_begin_or_end_meanwhile_take_nothing_away() {
        let of = |pairs: &[(u32, u64)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(backend, time)| (*backend, Duration::from_millis(*time)))
                .collect::<BTreeMap<_, _>>()
        };
        let before = of(&[(1, 100), (2, 50)]);
        let after = of(&[(2, 53), (3, 4)]);
        assert_eq!(since(&before, &after), Duration::from_millis(7));
    }
}
