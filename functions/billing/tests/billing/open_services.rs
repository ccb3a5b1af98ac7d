//! Health checking and reflection, which require no token.

use contracts::billing::v1::billing_service_server::SERVICE_NAME;
use futures::stream;
use schemas::Service;
use sqlx::PgPool;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

use crate::running::{Running, nowhere, until, within};

async fn health(running: &Running, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    HealthClient::new(running.channel())
        .check(request)
        .await
        .map(|answer| answer.into_inner().status())
        .map_err(|status| status.code())
}

#[sqlx::test(migrations = false)]
async fn the_health_of_the_service_follows_its_database(database: PgPool) {
    let running = Running::start(&database).await;
    assert_eq!(health(&running, "").await, Ok(ServingStatus::Serving));
    until(async || health(&running, SERVICE_NAME).await == Ok(ServingStatus::NotServing)).await;
    assert!(running.client().check_health().await.is_err());

    Service::Billing.migrations().run(&database).await.unwrap();
    until(async || health(&running, SERVICE_NAME).await == Ok(ServingStatus::Serving)).await;
    running.client().check_health().await.unwrap();

    assert_eq!(health(&running, "nothing").await, Err(Code::NotFound));
}

#[tokio::test]
async fn the_process_is_healthy_without_its_database() {
    let running = Running::start(&nowhere()).await;
    assert_eq!(health(&running, "").await, Ok(ServingStatus::Serving));
    until(async || health(&running, SERVICE_NAME).await == Ok(ServingStatus::NotServing)).await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn health_watchers_learn_of_a_stop(database: PgPool) {
    let running = Running::start(&database).await;
    let mut watched = HealthClient::new(running.channel())
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut next = async || {
        let answer = within(watched.message()).await.unwrap().unwrap();
        answer.status()
    };
    assert_eq!(next().await, ServingStatus::Serving);
    running.ask_to_stop();
    assert_eq!(next().await, ServingStatus::NotServing);
}

#[tokio::test]
async fn reflection_lists_and_describes_the_services() {
    use v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };

    let running = Running::start(&nowhere()).await;
    let ask = |message_request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message_request),
    };
    let questions = stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(
            SERVICE_NAME.to_owned(),
        )),
    ]);
    let mut answers = ServerReflectionClient::new(running.channel())
        .server_reflection_info(questions)
        .await
        .unwrap()
        .into_inner();

    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}");
    };
    let mut names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            SERVICE_NAME,
            "billing.v1.ChargeService",
            "billing.v1.InvoiceService",
            "billing.v1.PaymentService",
            "billing.v1.PriceService",
            "billing.v1.RefundService",
            "billing.v1.ReportService",
            "grpc.health.v1.Health",
        ]
    );

    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::FileDescriptorResponse(files)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(files.file_descriptor_proto.len(), 1);
}

#[tokio::test]
async fn reflection_v1alpha_is_supported_for_older_tools() {
    use v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };

    let running = Running::start(&nowhere()).await;
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answer = ServerReflectionClient::new(running.channel())
        .server_reflection_info(stream::iter([question]))
        .await
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response;
    assert!(
        matches!(answer, Some(MessageResponse::ListServicesResponse(_))),
        "{answer:?}"
    );
}
