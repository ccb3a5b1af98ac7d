//! What a request leaves behind is done after its answer, and before the environment is frozen: with a
//! function in a process of its own, and the runtime API that Lambda has.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

use std::{env, time::Duration};

use after_answer::after_answer;
use axum::{Router, routing::post};
use execution_environment::{Function, Idle, RuntimeApi};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Longer than anything here takes, so only a failing test waits this long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where the function's work is done.
const WORKPLACE: &str = "WORKPLACE";

/// Not a test, but the function that the tests start.
#[tokio::test]
#[ignore = "a function, which the tests start"]
async fn function() {
    let workplace = env::var(WORKPLACE).unwrap();
    let work = move || {
        let workplace = workplace.clone();
        async move {
            let mut workplace = TcpStream::connect(workplace).await.unwrap();
            workplace.write_all(b"begun").await.unwrap();
            // Until the test closes the connection.
            let _ = workplace.read_to_end(&mut Vec::new()).await;
        }
    };
    let begin = work.clone();
    let routes = Router::new()
        .route("/work", post(move || after_answer(work())))
        .route(
            "/panic",
            post(move || async move {
                after_answer(begin()).await;
                fail();
            }),
        )
        .route(
            "/panicking-work",
            post(|| after_answer(async { panic!("the work") })),
        )
        .route("/nothing", post(|| async {}));
    api::serve_and_work_after("function", routes).await.unwrap();
}

fn fail() {
    panic!("the handler");
}

struct Stage {
    lambda: RuntimeApi,
    workplace: TcpListener,
    _function: Function,
}

impl Stage {
    async fn with(lambda: RuntimeApi) -> Self {
        let workplace = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = workplace.local_addr().unwrap().to_string();
        let settings = [(WORKPLACE, address), ("CLINIC_TIME_ZONE", "UTC".to_owned())];
        let function = Function::of_test("function", &lambda, settings).unwrap();
        Self {
            lambda,
            workplace,
            _function: function,
        }
    }

    async fn idle(&mut self) -> Idle {
        timeout(PATIENCE, self.lambda.idle())
            .await
            .unwrap()
            .unwrap()
    }

    async fn invoke(&mut self, path: &str) {
        assert!(self.idle().await.invoke(event(path)));
    }

    /// The work, which goes on until this is dropped.
    async fn work(&self) -> TcpStream {
        let (mut work, _) = timeout(PATIENCE, self.workplace.accept())
            .await
            .unwrap()
            .unwrap();
        let mut said = [0; 5];
        work.read_exact(&mut said).await.unwrap();
        work
    }

    async fn answer(&mut self) -> StatusCode {
        let answer = timeout(PATIENCE, self.lambda.answers.recv()).await;
        let answer: Value = serde_json::from_slice(&answer.unwrap().unwrap().body).unwrap();
        let status = answer["statusCode"].as_u64().unwrap();
        StatusCode::from_u16(u16::try_from(status).unwrap()).unwrap()
    }
}

/// As API Gateway sends it.
fn event(path: &str) -> bytes::Bytes {
    let event = json!({
        "resource": path,
        "path": path,
        "httpMethod": "POST",
        "headers": {},
        "multiValueHeaders": {},
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": null,
        "stageVariables": null,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "api",
            "resourceId": "resource",
            "stage": "v1",
            "requestId": "1f0d2f8e-0f4c-4b3f-9c64-4a7f3d1d8d5b",
            "resourcePath": path,
            "path": format!("/v1{path}"),
            "httpMethod": "POST",
            "protocol": "HTTP/1.1",
            "identity": { "sourceIp": "127.0.0.1" },
            "authorizer": {},
        },
        "body": null,
        "isBase64Encoded": false,
    });
    event.to_string().into()
}

#[tokio::test]
async fn the_answer_comes_before_the_work_and_the_next_event_after_it() {
    let mut stage = Stage::with(RuntimeApi::start().await.unwrap()).await;
    for _ in 0..2 {
        stage.invoke("/work").await;
        assert_eq!(stage.answer().await, StatusCode::OK);
        let work = stage.work().await;
        timeout(PATIENCE, stage.lambda.runtime_waits())
            .await
            .unwrap();
        assert!(!stage.lambda.extension_waits(), "it may be frozen");
        drop(work);
    }
}

#[tokio::test]
async fn whatever_happens_the_next_event_is_asked_for() {
    let mut stage = Stage::with(RuntimeApi::start().await.unwrap()).await;
    for (path, status) in [
        ("/nothing", StatusCode::OK),
        ("/panicking-work", StatusCode::OK),
        ("/unknown", StatusCode::NOT_FOUND),
    ] {
        stage.invoke(path).await;
        assert_eq!(stage.answer().await, status, "{path}");
    }
    // What was left behind before is done.
    stage.invoke("/panic").await;
    assert_eq!(stage.answer().await, StatusCode::INTERNAL_SERVER_ERROR);
    drop(stage.work().await);
    // An event that the handler does not even get.
    assert!(stage.idle().await.invoke("no JSON".into()));
    timeout(PATIENCE, stage.lambda.answers.recv())
        .await
        .unwrap();
    stage.invoke("/nothing").await;
    assert_eq!(stage.answer().await, StatusCode::OK);
}

#[tokio::test]
async fn without_extensions_the_work_is_done_before_the_answer() {
    let mut stage = Stage::with(RuntimeApi::without_extensions().await.unwrap()).await;
    stage.invoke("/work").await;
    let work = stage.work().await;
    assert!(stage.lambda.answers.try_recv().is_err(), "answered before");
    drop(work);
    assert_eq!(stage.answer().await, StatusCode::OK);
}
