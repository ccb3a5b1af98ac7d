//! Who the broker of the running stack lets in, and what the others are told.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

use std::{env, net::TcpListener, time::Duration};

use kafka::{Cluster, ConnectError, testing::cluster};

/// As long as a request waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Brokers take their time to refuse a login, and each is asked several times.
const LONG_PATIENCE: Duration = Duration::from_mins(2);

/// Of somebody else.
const AUTHORITY: &str = include_str!("authority.pem");

fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: see Tests in README.md"))
}

async fn refusal(cluster: Cluster) -> ConnectError {
    cluster.connect("test", PATIENCE).await.unwrap_err()
}

#[tokio::test]
async fn the_user_in_the_secret_is_let_in_by_the_broker_that_we_trust() {
    assert_eq!(setting("KAFKA_AUTHENTICATION"), "SCRAM");
    let cluster = Cluster::from_env().unwrap();
    let client = cluster.connect("test", PATIENCE).await.unwrap();
    let topics = client.list_topics().await.unwrap();
    assert!(topics.iter().any(|topic| topic.name == "patient.events.v1"));
}

#[tokio::test]
async fn a_wrong_password_is_not_taken_for_a_broker_that_is_down() {
    let (brokers, authority) = (
        setting("KAFKA_BOOTSTRAP_SERVERS"),
        setting("KAFKA_CA_CERTIFICATE"),
    );
    let three = [brokers.as_str(); 3].join(",");
    for (brokers, user) in [
        (&brokers, "patient-management"),
        (&brokers, "nobody"),
        (&three, "patient-management"),
    ] {
        let cluster = cluster(brokers, Some(&authority), user, "wrong").unwrap();
        let refusal = cluster.connect("test", LONG_PATIENCE).await.unwrap_err();
        assert!(
            matches!(refusal, ConnectError::Credentials(_)),
            "{refusal:?}"
        );
    }
}

#[tokio::test]
async fn nobody_is_sent_a_password_who_is_not_trusted() {
    let brokers = setting("KAFKA_BOOTSTRAP_SERVERS");
    let authority = setting("KAFKA_CA_CERTIFICATE");
    // The certificate is for 127.0.0.1 and localhost.
    let elsewhere = brokers.replace("127.0.0.1", "127.0.0.2");
    for (brokers, authority) in [
        (&brokers, Some(AUTHORITY)),
        (&brokers, None),
        (&elsewhere, Some(&*authority)),
    ] {
        let cluster = cluster(brokers, authority, "patient-management", "any").unwrap();
        let refusal = refusal(cluster).await;
        let expected = match refusal {
            ConnectError::Certificate(_) => true,
            // Where nothing but the address itself is listened on.
            ConnectError::Unreachable(_) => *brokers == elsewhere,
            _ => false,
        };
        assert!(expected, "{refusal:?}");
    }
}

#[tokio::test]
async fn whoever_is_down_or_silent_is_said_to_be() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let silent = cluster(&address, None, "patient-management", "any").unwrap();
    let refused = refusal(silent).await;
    assert!(matches!(refused, ConnectError::TimedOut(_)), "{refused:?}");
    drop(listener);
    let down = cluster(&address, None, "patient-management", "any").unwrap();
    let refused = refusal(down).await;
    assert!(
        matches!(refused, ConnectError::Unreachable(_)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn nobody_is_let_in_without_a_password() {
    let cluster = Cluster::unprotected(&setting("KAFKA_BOOTSTRAP_SERVERS"));
    let refused = refusal(cluster).await;
    assert!(
        matches!(
            refused,
            ConnectError::Unreachable(_) | ConnectError::TimedOut(_)
        ),
        "{refused:?}"
    );
}
