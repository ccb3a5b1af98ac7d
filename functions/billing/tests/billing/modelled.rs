//! Histories that chance has written, against a model of the books.
//!
//! The model says of every step whether the service takes or refuses it, and what has come of all of
//! them in the end: for each invoice, payment and patient, and for the clinic. A history that goes
//! wrong is made shorter until each of its steps is needed.
//!
//! `BILLING_HISTORIES` is how many of them there are.

mod books;
mod model;
mod step;

use proptest::{
    collection::vec,
    test_runner::{Config, TestError, TestRunner},
};
use sqlx::PgPool;
use tokio::runtime::Handle;

use self::{
    books::Clinic,
    step::{History, history},
};

/// How many histories there are if nobody says so.
const HISTORIES: u32 = 24;

/// How many steps the longest has.
const STEPS: usize = 90;

/// How many clients act at once.
const CLIENTS: usize = 6;

fn histories() -> u32 {
    let asked = std::env::var("BILLING_HISTORIES").ok();
    asked.map_or(HISTORIES, |asked| asked.parse().unwrap())
}

/// Tries as many times what so many clients do at once, each with patients of their own.
async fn try_histories(database: PgPool, clients: usize, times: u32) {
    let clinic = Clinic::open(&database).await;
    let runtime = Handle::current();
    let tried = tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(Config {
            cases: times,
            max_shrink_iters: 400,
            failure_persistence: None,
            ..Config::default()
        });
        runner.run(&vec(history(STEPS), clients), |histories: Vec<History>| {
            runtime.block_on(clinic.live_through(&histories));
            Ok(())
        })
    });
    match tried.await.unwrap() {
        Ok(()) => {}
        Err(TestError::Fail(why, histories)) => panic!("{why}\nin {histories:#?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_books_are_as_the_model_says(database: PgPool) {
    try_histories(database, 1, histories()).await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_books_are_as_the_models_of_several_clients_say(database: PgPool) {
    try_histories(database, CLIENTS, histories().div_ceil(6)).await;
}
