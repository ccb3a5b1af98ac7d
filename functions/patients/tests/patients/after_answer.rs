//! A registration is answered before anybody hears of it: the function in a process of its own, and a
//! billing service that accepts the connection and does not respond.

use std::time::Duration;

use execution_environment::{Function, RuntimeApi};
use patients::{create_patient, delete_patient, restore_patient, update_patient};
use route::Build;
use serde_json::{Value, json};
use sqlx::PgPool;
use store::testing::url_of;
use tokio::{net::TcpListener, time::timeout};

/// Longer than anything here takes, so only a failing test waits this long.
const PATIENCE: Duration = Duration::from_mins(1);

/// That of `cargo lambda invoke`.
const EVENT: &[u8] = include_bytes!("../../../../events/create-patient.json");

/// Not a test, but the function that the tests start.
#[tokio::test]
#[ignore = "a function, which the tests start"]
async fn function() {
    let routes = create_patient::routes;
    route::serve("create-patient", routes).await.unwrap();
}

struct Stage {
    database: PgPool,
    lambda: RuntimeApi,
    billing: TcpListener,
    _function: Function,
}

impl Stage {
    async fn with(lambda: RuntimeApi, database: PgPool) -> Self {
        let billing = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = [
            ("DATABASE_URL", url_of(&database)),
            (
                "BILLING_URL",
                format!("http://{}", billing.local_addr().unwrap()),
            ),
            ("BILLING_TOKEN", "a-token".to_owned()),
            // Nobody is there.
            ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1".to_owned()),
        ];
        let function = Function::of_test("after_answer::function", &lambda, settings).unwrap();
        Self {
            database,
            lambda,
            billing,
            _function: function,
        }
    }

    async fn register(&mut self) {
        let idle = timeout(PATIENCE, self.lambda.idle()).await.unwrap();
        assert!(idle.unwrap().invoke(EVENT.into()));
    }

    async fn answer(&mut self) -> Value {
        let answer = timeout(PATIENCE, self.lambda.answers.recv()).await;
        serde_json::from_slice(&answer.unwrap().unwrap().body).unwrap()
    }

    async fn waiting(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM patients.outbox")
            .fetch_one(&self.database)
            .await
            .unwrap()
    }

    /// How many transactions are open that do nothing.
    async fn idle_transactions(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
        )
        .fetch_one(&self.database)
        .await
        .unwrap()
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_registration_is_answered_before_its_delivery(database: PgPool) {
    let mut stage = Stage::with(RuntimeApi::start().await.unwrap(), database).await;
    stage.register().await;
    let answer = stage.answer().await;
    assert_eq!(answer["statusCode"], json!(201), "{answer}");
    let delivery = timeout(PATIENCE, stage.billing.accept()).await.unwrap();
    timeout(PATIENCE, stage.lambda.runtime_waits())
        .await
        .unwrap();
    assert!(!stage.lambda.extension_waits(), "it may be frozen");

    drop(delivery.unwrap());
    timeout(PATIENCE, stage.lambda.idle()).await.unwrap();
    assert_eq!(stage.waiting().await, 2, "for the relay");
    assert_eq!(stage.idle_transactions().await, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn without_extensions_a_registration_is_delivered_before_its_answer(database: PgPool) {
    let lambda = RuntimeApi::without_extensions().await.unwrap();
    let mut stage = Stage::with(lambda, database).await;
    stage.register().await;
    let delivery = timeout(PATIENCE, stage.billing.accept()).await.unwrap();
    assert!(stage.lambda.answers.try_recv().is_err(), "answered before");
    drop(delivery.unwrap());
    let answer = stage.answer().await;
    assert_eq!(answer["statusCode"], json!(201), "{answer}");
}

fn leaves_work<Uses, Routes: Build<Uses>>(_: Routes) -> bool {
    Routes::LEAVES_WORK
}

#[test]
fn who_delivers_all_of_it_before_the_answer_is_no_extension() {
    assert!(leaves_work(create_patient::routes));
    assert!(leaves_work(update_patient::routes));
    assert!(!leaves_work(delete_patient::routes));
    assert!(!leaves_work(restore_patient::routes));
}
