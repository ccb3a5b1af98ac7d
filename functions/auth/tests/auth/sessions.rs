use std::time::Duration;

use chrono::Utc;
use secrecy::{ExposeSecret as _, SecretString};
use sessions::{Lifetimes, NoSession, Running, Sessions};
use uuid::Uuid;

use crate::fixtures::{Deployment, LIFETIMES};

const NO_GRACE: Lifetimes = Lifetimes {
    grace: Duration::ZERO,
    ..LIFETIMES
};

async fn use_token(
    sessions: &Sessions,
    token: &SecretString,
    lifetimes: &Lifetimes,
) -> Result<Running, NoSession> {
    let presented = sessions.find(token).await.unwrap()?;
    sessions.rotate(&presented, lifetimes).await.unwrap()
}

#[tokio::test]
async fn each_refresh_returns_the_next_token() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let user = Uuid::now_v7();
    let mut running = deployment.begin(user).await;
    for _ in 0..5 {
        let next = use_token(&sessions, &running.refresh_token, &NO_GRACE)
            .await
            .unwrap();
        assert_eq!(next.session, running.session);
        assert_ne!(
            next.refresh_token.expose_secret(),
            running.refresh_token.expose_secret()
        );
        assert_eq!(sessions.check(next.session, user).await.unwrap(), Ok(()));
        running = next;
    }
}

#[tokio::test]
async fn a_reused_refresh_token_ends_the_session_for_everybody() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let user = Uuid::now_v7();
    for generations in [1, 3] {
        let first = deployment.begin(user).await;
        let mut last = first.refresh_token.clone();
        for _ in 0..generations {
            last = use_token(&sessions, &last, &NO_GRACE)
                .await
                .unwrap()
                .refresh_token;
        }
        let again = use_token(&sessions, &first.refresh_token, &NO_GRACE).await;
        assert_eq!(again.unwrap_err(), NoSession::Reused);
        let state = sessions.check(first.session, user).await.unwrap();
        assert_eq!(state, Err(NoSession::Revoked));
        let latest = use_token(&sessions, &last, &NO_GRACE).await;
        assert_eq!(latest.unwrap_err(), NoSession::Revoked);
    }
}

#[tokio::test]
async fn concurrent_refreshes_get_the_same_token_and_theft_is_still_detected() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let user = Uuid::now_v7();
    for _ in 0..5 {
        let first = deployment.begin(user).await;
        let (one, other) = tokio::join!(
            use_token(&sessions, &first.refresh_token, &LIFETIMES),
            use_token(&sessions, &first.refresh_token, &LIFETIMES),
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(
            one.refresh_token.expose_secret(),
            other.refresh_token.expose_secret()
        );

        // Whichever response the client keeps, the session goes on; two concurrent refreshes again.
        let next = use_token(&sessions, &other.refresh_token, &LIFETIMES)
            .await
            .unwrap();
        use_token(&sessions, &one.refresh_token, &LIFETIMES)
            .await
            .unwrap();
        assert_eq!(sessions.check(first.session, user).await.unwrap(), Ok(()));
        // The successor of the first token has been used: now the first counts as a stolen copy.
        let stolen = use_token(&sessions, &first.refresh_token, &LIFETIMES).await;
        assert_eq!(stolen.unwrap_err(), NoSession::Reused);
        let next = use_token(&sessions, &next.refresh_token, &LIFETIMES).await;
        assert_eq!(next.unwrap_err(), NoSession::Revoked);
    }
}

#[tokio::test]
async fn the_grace_period_applies_when_the_clock_of_another_host_is_ahead() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let first = deployment.begin(Uuid::now_v7()).await;
    use_token(&sessions, &first.refresh_token, &LIFETIMES)
        .await
        .unwrap();
    deployment.rotated_later(first.session, 2_000).await;
    use_token(&sessions, &first.refresh_token, &LIFETIMES)
        .await
        .unwrap();
}

#[tokio::test]
async fn many_concurrent_refreshes_create_one_new_token() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let user = Uuid::now_v7();
    let first = deployment.begin(user).await;
    let token = &first.refresh_token;
    let refreshed = || use_token(&sessions, token, &LIFETIMES);
    let results = tokio::join!(refreshed(), refreshed(), refreshed(), refreshed());
    let all = [results.0, results.1, results.2, results.3];
    let all = all.map(|result| result.unwrap().refresh_token);
    for other in &all {
        assert_eq!(other.expose_secret(), all[0].expose_secret());
    }
    use_token(&sessions, &all[3], &NO_GRACE).await.unwrap();
    let late = use_token(&sessions, &all[0], &NO_GRACE).await;
    assert_eq!(late.unwrap_err(), NoSession::Reused);
}

#[tokio::test]
async fn a_refresh_token_stays_valid_until_a_response_was_sent() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let first = deployment.begin(Uuid::now_v7()).await.refresh_token;
    let presented = sessions.find(&first).await.unwrap().unwrap();
    let lost = sessions.rotate(&presented, &NO_GRACE).await.unwrap();
    sessions.keep(&presented).await.unwrap();
    let again = use_token(&sessions, &first, &NO_GRACE).await.unwrap();
    assert_eq!(
        again.refresh_token.expose_secret(),
        lost.unwrap().refresh_token.expose_secret()
    );
    use_token(&sessions, &again.refresh_token, &NO_GRACE)
        .await
        .unwrap();
    // Too late to keep it now.
    sessions.keep(&presented).await.unwrap();
    let used = use_token(&sessions, &first, &NO_GRACE).await;
    assert_eq!(used.unwrap_err(), NoSession::Reused);
}

#[tokio::test]
async fn a_session_without_a_secret_cannot_be_refreshed() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let user = Uuid::now_v7();
    let running = deployment.begin(user).await;
    deployment.has_no_secret(running.session).await;
    assert_eq!(sessions.check(running.session, user).await.unwrap(), Ok(()));
    let refreshed = use_token(&sessions, &running.refresh_token, &LIFETIMES).await;
    assert_eq!(refreshed.unwrap_err(), NoSession::Ended);
}

#[tokio::test]
async fn a_session_expires() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let user = Uuid::now_v7();
    for (lifetimes, expected) in [
        (
            Lifetimes {
                idle: Duration::ZERO,
                ..LIFETIMES
            },
            NoSession::Idle,
        ),
        (
            Lifetimes {
                absolute: Duration::ZERO,
                ..LIFETIMES
            },
            NoSession::Ended,
        ),
    ] {
        let running = sessions.begin(user, Utc::now(), &lifetimes).await.unwrap();
        let state = sessions.check(running.session, user).await.unwrap();
        assert_eq!(state, Err(expected));
        let refreshed = use_token(&sessions, &running.refresh_token, &LIFETIMES).await;
        assert_eq!(refreshed.unwrap_err(), expected);
    }

    // A refresh restarts the idle timeout, but never the absolute one.
    let short = Lifetimes {
        idle: Duration::from_millis(1),
        ..LIFETIMES
    };
    let running = sessions.begin(user, Utc::now(), &LIFETIMES).await.unwrap();
    let refreshed = use_token(&sessions, &running.refresh_token, &short)
        .await
        .unwrap();
    while sessions.check(refreshed.session, user).await.unwrap() != Err(NoSession::Idle) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_login_authenticated_before_all_sessions_were_revoked_gets_no_session() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let user = Uuid::now_v7();
    let before = Utc::now();
    sessions.end_all(user).await.unwrap();
    let late = sessions.begin(user, before, &LIFETIMES).await.unwrap();
    let state = sessions.check(late.session, user).await.unwrap();
    assert_eq!(state, Err(NoSession::AllRevoked));
    let refreshed = use_token(&sessions, &late.refresh_token, &LIFETIMES).await;
    assert_eq!(refreshed.unwrap_err(), NoSession::AllRevoked);
}

#[tokio::test]
async fn forged_refresh_tokens_do_not_end_sessions() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let user = Uuid::now_v7();
    let running = deployment.begin(user).await;
    let token = running.refresh_token.expose_secret();
    let other = deployment.begin(user).await.refresh_token;
    // The id of this session with the secret of another.
    let crossed = format!("{}{}", &token[..22], &other.expose_secret()[22..]);
    let mut changed = token.to_owned();
    let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
    changed.push(last);
    for made_up in [
        "",
        "x",
        "é",
        &"x".repeat(1 << 16),
        &crossed,
        &changed,
        &token[..63],
    ] {
        let found = sessions.find(&made_up.into()).await.unwrap();
        assert_eq!(found.unwrap_err(), NoSession::Unknown, "{made_up}");
    }
    assert_eq!(sessions.check(running.session, user).await.unwrap(), Ok(()));
    assert!(
        use_token(&sessions, &running.refresh_token, &NO_GRACE)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn ending_all_other_sessions_does_not_revive_an_ended_one() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    let user = Uuid::now_v7();
    let (over, other) = (deployment.begin(user).await, deployment.begin(user).await);
    sessions.end(over.session).await.unwrap();
    let others = async |session| sessions.end_others(user, session).await.unwrap();
    assert_eq!(others(over.session).await, Err(NoSession::Revoked));
    assert_eq!(others(Uuid::new_v4()).await, Err(NoSession::Unknown));
    assert_eq!(sessions.check(other.session, user).await.unwrap(), Ok(()));

    sessions.end_all(user).await.unwrap();
    assert_eq!(others(other.session).await, Err(NoSession::AllRevoked));
    let state = sessions.check(other.session, user).await.unwrap();
    assert_eq!(state, Err(NoSession::AllRevoked));
}

#[tokio::test]
async fn a_concurrent_refresh_does_not_end_the_session_that_is_kept() {
    let deployment = Deployment::new().await;
    let sessions = deployment.sessions().await;
    for _ in 0..20 {
        let user = Uuid::now_v7();
        let (kept, other) = (deployment.begin(user).await, deployment.begin(user).await);
        let (ended, refreshed) = tokio::join!(
            sessions.end_others(user, kept.session),
            use_token(&sessions, &kept.refresh_token, &LIFETIMES),
        );
        assert_eq!(ended.unwrap(), Ok(()));
        refreshed.unwrap();
        assert_eq!(sessions.check(kept.session, user).await.unwrap(), Ok(()));
        let state = sessions.check(other.session, user).await.unwrap();
        assert_eq!(state, Err(NoSession::AllRevoked));
    }
}
