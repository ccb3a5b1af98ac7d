use auth::{logout, logout_all};
use axum::body::Body;
use http::{Request, StatusCode};
use identity::{Role, testing::in_session};
use sessions::NoSession;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    fixtures::{Deployment, no_sessions},
    send,
};

fn post(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn logout_ends_one_session_and_logout_all_ends_every_session(database: PgPool) {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let (user, other) = (Uuid::now_v7(), Uuid::now_v7());
    let mut of_user = Vec::new();
    for _ in 0..3 {
        of_user.push(deployment.begin(user).await.session);
    }
    let of_other = deployment.begin(other).await.session;
    let states = async || {
        let mut states = Vec::new();
        for session in &of_user {
            states.push(sessions.check(*session, user).await.unwrap());
        }
        states
    };

    let routes = logout::routes(database.clone(), deployment.sessions().await);
    for _ in 0..2 {
        let request = in_session(post("/auth/logout"), user, Role::Auditor, of_user[0]);
        assert_eq!(
            send(&routes, request).await.status(),
            StatusCode::NO_CONTENT
        );
        assert_eq!(states().await, [Err(NoSession::Revoked), Ok(()), Ok(())]);
    }

    let routes = logout_all::routes(database.clone(), deployment.sessions().await);
    let request = in_session(post("/auth/logout-all"), user, Role::Auditor, of_user[1]);
    assert_eq!(
        send(&routes, request).await.status(),
        StatusCode::NO_CONTENT
    );
    let all = NoSession::AllRevoked;
    assert_eq!(
        states().await,
        [Err(NoSession::Revoked), Err(all), Err(all)]
    );
    assert_eq!(sessions.check(of_other, other).await.unwrap(), Ok(()));

    let next = deployment.begin(user).await.session;
    assert_eq!(sessions.check(next, user).await.unwrap(), Ok(()));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn logout_requires_a_session_and_reports_when_it_cannot_end_it(database: PgPool) {
    let deployment = Deployment::new().await;
    for routes in [
        (logout::routes as fn(_, _) -> _, "/auth/logout"),
        (logout_all::routes as fn(_, _) -> _, "/auth/logout-all"),
    ] {
        let (routes, path) = routes;
        let there = routes(database.clone(), deployment.sessions().await);
        let response = send(&there, post(path)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");

        let user = Uuid::now_v7();
        let request = in_session(post(path), user, Role::Admin, Uuid::new_v4());
        let response = send(&routes(database.clone(), no_sessions()), request).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
}

#[tokio::test]
async fn logout_ends_the_session_even_if_the_database_is_down() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let nowhere = PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/none").unwrap();
    let routes = logout::routes(nowhere, deployment.sessions().await);
    let user = Uuid::now_v7();
    let session = deployment.begin(user).await.session;
    let request = in_session(post("/auth/logout"), user, Role::Auditor, session);
    let status = send(&routes, request).await.status();
    // It is not recorded, so the client should try again.
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let state = sessions.check(session, user).await.unwrap();
    assert_eq!(state, Err(NoSession::Revoked));
}
