//! What a booking costs the database: processor time of its server processes, which does not depend on
//! how the functions are built. Not a test: it says what it has measured.
//!
//! `cargo test -p appointments --test appointments -- --ignored --nocapture what_a_booking_costs`

use std::{fs, io::Write as _, time::Duration};

use futures::future::join_all;
use serde_json::json;
use sqlx::PgPool;

use crate::clinic::{Clinic, at};

/// How many want the same day of the same clinician, of whom there are fifty.
const CLIENTS: usize = 60;
const CLINICIANS: usize = 50;
/// The first of these days does not count.
const DAYS: std::ops::Range<u64> = 3..14;
const SLOTS: usize = 120;

/// A client, with a connection of their own.
struct Client {
    clinic: Clinic,
    patient: String,
    clinician: String,
    service: String,
    number: usize,
}

impl Client {
    async fn ask(&self, start: &str) -> u16 {
        let with = [self.clinician.as_str()];
        let answer = self.clinic.book(&self.patient, &self.service, &with, start);
        answer.await.status.as_u16()
    }

    /// Tries one slot after another. Says which one it got, and how many others were taken.
    async fn book(&self, day: u64) -> (String, usize) {
        let (first, stride) = (self.number / 2, [37, 41][self.number % 2]);
        for attempt in 0..SLOTS {
            let slot = (first + attempt * stride) % SLOTS;
            let start = at(day, &format!("{:02}:{:02}", 8 + slot / 12, slot % 12 * 5));
            match self.ask(&start).await {
                201 => return (start, attempt),
                status => assert_eq!(status, 409),
            }
        }
        panic!("no slot was free");
    }
}

/// What the server processes of the clients have used so far, in nanoseconds (`schedstat` in proc(5)).
async fn used(database: &PgPool) -> u64 {
    let processes = "SELECT pid FROM pg_stat_activity WHERE application_name = 'measured'";
    let processes: Vec<i32> = sqlx::query_scalar(processes)
        .fetch_all(database)
        .await
        .unwrap();
    let used = processes.iter().map(|process| {
        let statistics = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap();
        let nanoseconds = statistics.split(' ').next().unwrap();
        nanoseconds.parse::<u64>().unwrap()
    });
    used.sum()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
#[ignore = "measures, and needs the database on this machine"]
async fn what_a_booking_costs(database: PgPool) {
    let clinic = Clinic::new(database.clone());
    let location = clinic.location("UTC").await;
    let clinicians = (0..CLINICIANS).map(|_| clinic.clinician(&location, "08:00", "18:00"));
    let clinician = join_all(clinicians).await.remove(0);
    let service = json!({ "durationMinutes": 5, "gridMinutes": 5 });
    let service = clinic.service(service).await;
    let options = database.connect_options().as_ref().clone();
    let options = options.application_name("measured");
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let database = store::pool_with(options.clone(), 1, Duration::from_mins(1));
        clients.push(Client {
            patient: clinic.patient().await,
            clinic: Clinic::new(database),
            clinician: clinician.clone(),
            service: service.clone(),
            number,
        });
    }
    let (mut bookings, mut refusals, mut conflicts, mut many) = (0, 0, 0, 0);
    for day in DAYS {
        let before = used(&database).await;
        let booked = join_all(clients.iter().map(|client| client.book(day))).await;
        let between = used(&database).await;
        // Once more, and nobody waits for anybody.
        let again = clients.iter().zip(&booked);
        let again = join_all(again.map(|(client, (start, _))| client.ask(start))).await;
        let after = used(&database).await;
        assert!(again.iter().all(|status| *status == 409));
        if day > DAYS.start {
            bookings += between - before;
            refusals += after - between;
            conflicts += booked.iter().map(|(_, conflicts)| conflicts).sum::<usize>();
            many += CLIENTS;
        }
    }
    let each = |used: u64| used / 1000 / u64::try_from(many).unwrap();
    writeln!(
        std::io::stderr(),
        "{many} bookings, {conflicts} conflicts: {} µs for a booking with its conflicts, {} µs for a refusal",
        each(bookings),
        each(refusals),
    )
    .unwrap();
}
