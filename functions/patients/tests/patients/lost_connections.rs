//! Clients do not notice connections that were lost while idle. If the database does not respond,
//! they learn of it soon.

use std::{env, fs, sync::Arc, time::Duration};

use axum::http::{Method, StatusCode, header};
use futures::future::join_all;
use identity::Role;
use percent_encoding::percent_decode_str;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, Connection as _, PgPool,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional, split},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use crate::fixtures::{Answer, Call, log_in_the_caller, with, zoe};

/// The longest that a client may have to wait while the database does not respond: the pool's
/// waiting time and a margin.
const SOON: Duration = Duration::from_secs(8);

fn options(database: &PgPool) -> PgConnectOptions {
    database.connect_options().as_ref().clone()
}

async fn soon(answer: impl Future<Output = Answer>) -> Answer {
    let answer = tokio::time::timeout(SOON, answer).await;
    answer.expect("a response in bounded time")
}

#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    let kind = "urn:patient-management:problem:unavailable";
    assert_eq!(answer.body["type"], kind);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_unresponsive_database_is_503_in_bounded_time(database: PgPool) {
    let (address, frozen) = proxy(&options(&database)).await;
    let pool = store::pool_of(options(&database).host("127.0.0.1").port(address));
    let admin = Call::as_admin(&pool);
    let path = format!("/api/patients/{}", admin.created(&zoe()).await);

    frozen.send_replace(true);
    tokio::time::sleep(store::TRUSTED_FOR).await;
    let other = with(zoe(), "email", "other@clinic.example");
    assert_unavailable(&soon(admin.create(&other)).await);
    assert_unavailable(&soon(admin.send(Method::GET, &path, None)).await);

    // None of the failed requests has had an effect.
    frozen.send_replace(false);
    admin.created(&other).await;
}

/// A proxy to the database that forwards nothing while it is frozen.
async fn proxy(to: &PgConnectOptions) -> (u16, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (frozen, is_frozen) = watch::channel(false);
    let to = (to.get_host().to_owned(), to.get_port());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (to, mut is_frozen) = (to.clone(), is_frozen.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let frozen = async {
                    let is_frozen = is_frozen.wait_for(|frozen| *frozen).await;
                    is_frozen.is_ok()
                };
                let is_frozen = tokio::select! {
                    biased;
                    is_frozen = frozen => is_frozen,
                    _ = copy_bidirectional(&mut client, &mut server) => false,
                };
                if is_frozen {
                    // The connections stay open, but nothing is forwarded any more.
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    (port, frozen)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_database_without_free_connections_is_503(database: PgPool) {
    let role = format!("crowded_{}", Uuid::now_v7().simple());
    let execute = async |sql: String| {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(&database).await;
        done.unwrap();
    };
    let password = "PASSWORD 'crowded'";
    execute(format!(
        "CREATE ROLE {role} LOGIN {password} CONNECTION LIMIT 0"
    ))
    .await;
    let pool = store::pool_of(options(&database).username(&role).password("crowded"));
    let path = format!("/api/patients/{}", Uuid::now_v7());
    let answer = soon(Call::as_admin(&pool).send(Method::GET, &path, None)).await;
    execute(format!("DROP ROLE {role}")).await;
    assert_unavailable(&answer);
}

/// The role does not exist yet, has another password, or may not use a new table yet.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_incomplete_deployment_is_503(database: PgPool) {
    let path = format!("/api/patients/{}", Uuid::now_v7());
    for incomplete in [
        options(&database).username("nobody_yet").password("x"),
        options(&database).password("another"),
        // A role that exists everywhere and has no grants here.
        options(&database).options([("role", "pg_monitor")]),
    ] {
        let pool = store::pool_of(incomplete);
        assert_unavailable(&soon(Call::as_admin(&pool).send(Method::GET, &path, None)).await);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn requests_after_a_database_restart_succeed(database: PgPool) {
    let pool = store::pool_of(options(&database));
    let admin = Call::as_admin(&pool);
    let path = format!("/api/patients/{}", admin.created(&zoe()).await);
    for (method, patient) in [(Method::GET, None), (Method::PUT, Some(zoe()))] {
        // All connections of the pool, all of them idle.
        let first = pool.acquire().await.unwrap();
        let second = pool.acquire().await.unwrap();
        drop((first, second));
        terminate_others(&database).await;
        tokio::time::sleep(store::TRUSTED_FOR).await;

        let answer = admin.send(method.clone(), &path, patient.as_ref()).await;
        assert_eq!(answer.status, StatusCode::OK, "{method}: {}", answer.body);
    }
    let other = with(zoe(), "email", "other@clinic.example");
    terminate_others(&database).await;
    tokio::time::sleep(store::TRUSTED_FOR).await;
    admin.created(&other).await;
}

/// Ends all connections except its own and waits until they are gone.
async fn terminate_others(database: &PgPool) {
    let mut connection = database.acquire().await.unwrap();
    let ended: Vec<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    assert!(ended.into_iter().all(|ended| ended));
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to the database that is encrypted if the tests' own are.
pub(crate) async fn connect(host: &str, port: u16) -> Box<dyn Stream> {
    let mut connection = TcpStream::connect((host, port)).await.unwrap();
    let url = env::var("DATABASE_URL").unwrap();
    let Some((_, root)) = url.split_once("sslrootcert=") else {
        return Box::new(connection);
    };
    let root = percent_decode_str(root.split('&').next().unwrap());
    let root = fs::read(root.decode_utf8().unwrap().as_ref()).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&root).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A request for TLS, and the answer that it is spoken.
    connection
        .write_all(&[0, 0, 0, 8, 4, 210, 22, 47])
        .await
        .unwrap();
    assert_eq!(connection.read_u8().await.unwrap(), b'S');
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let connection = TlsConnector::from(Arc::new(config)).connect(host, connection);
    Box::new(connection.await.unwrap())
}

/// A proxy to the database that withholds the reply to a BEGIN until it is released. It has to read
/// what the client says, which therefore does not encrypt it.
async fn withholding(to: &PgConnectOptions) -> (u16, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (withheld, is_withheld) = watch::channel(false);
    let to = (to.get_host().to_owned(), to.get_port());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = connect(&to.0, to.1).await;
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = split(server);
            let (begun, mut has_begun) = watch::channel(false);
            let mut is_withheld = is_withheld.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 16 * 1024];
                while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                    let begins = bytes[..read].windows(6).any(|bytes| bytes == b"BEGIN\0");
                    begun.send_replace(begins);
                    if to_server.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
            tokio::spawn(async move {
                let mut bytes = [0; 16 * 1024];
                while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                    if *has_begun.borrow_and_update() {
                        let released = is_withheld.wait_for(|withheld| !withheld).await;
                        released.unwrap();
                    }
                    if to_client.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, withheld)
}

/// How many reads of patients are committed to the audit trail.
async fn reads_on_record(database: &PgPool) -> i64 {
    let reads = "SELECT count(*) FROM audit.record WHERE action = 'READ_PATIENT'";
    sqlx::query_scalar(reads).fetch_one(database).await.unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn work_after_an_abandoned_begin_is_not_lost(database: PgPool) {
    let (address, withheld) = withholding(&options(&database)).await;
    let to_the_proxy = options(&database).host("127.0.0.1").port(address);
    let pool = store::pool_of(to_the_proxy.ssl_mode(PgSslMode::Disable));
    // Leaves the pool a single connection.
    let other = pool.acquire().await.unwrap();
    let only = pool.acquire().await.unwrap();
    drop(only);

    withheld.send_replace(true);
    let given_up = timeout(Duration::from_millis(200), store::Transaction::begin(&pool)).await;
    assert!(given_up.is_err());
    withheld.send_replace(false);

    let (mut one, mut two) = (other, pool.acquire().await.unwrap());
    for connection in [&mut one, &mut two] {
        connection.ping().await.unwrap();
        sqlx::query("SELECT audit.append(gen_random_uuid(), NULL, NULL, 'READ_PATIENT', 'SUCCEEDED', NULL, '{}', NULL, NULL, NULL, NULL)")
            .execute(&mut **connection)
            .await
            .unwrap();
    }
    assert_eq!(reads_on_record(&database).await, 2);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_transaction_with_a_failed_statement_is_not_committed(database: PgPool) {
    let address = "UPDATE patients.patient SET address = 'elsewhere'";
    for mistake in ["SELECT 1 / 0", "SELECT pg_sleep(5)"] {
        let mut transaction = store::Transaction::begin(&database).await.unwrap();
        sqlx::query(address)
            .execute(&mut transaction)
            .await
            .unwrap();
        let overlooked = sqlx::query(mistake).execute(&mut transaction);
        let overlooked = timeout(Duration::from_millis(100), overlooked).await;
        assert!(!matches!(overlooked, Ok(Ok(_))));
        assert!(transaction.commit().await.is_err(), "{mistake}");
    }
    let mut transaction = store::Transaction::begin(&database).await.unwrap();
    sqlx::query(address)
        .execute(&mut transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

/// Every route that changes something, each with its own slow way to the database.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_request_at_its_deadline_does_not_affect_the_next_one(database: PgPool) {
    let requests = |id: &str| {
        let path = format!("/api/patients/{id}");
        let reason = json!({ "reason": "Unconscious in the emergency room" });
        [
            (
                Method::POST,
                "/api/patients".to_owned(),
                Some(with(zoe(), "email", "new@clinic.example")),
            ),
            (
                Method::PUT,
                path.clone(),
                Some(with(zoe(), "email", format!("{id}@clinic.example"))),
            ),
            (Method::DELETE, path.clone(), None),
            (
                Method::PUT,
                format!("{path}/restriction"),
                Some(json!({ "restricted": true })),
            ),
            (
                Method::POST,
                format!("{path}/emergency-access"),
                Some(reason),
            ),
        ]
    };
    log_in_the_caller(&database).await;
    let read = Call::as_admin(&database)
        .created(&with(zoe(), "email", "read@clinic.example"))
        .await;
    let database = &database;
    let patients = join_all((0..5).map(|number| {
        let patient = with(zoe(), "email", format!("{number}@clinic.example"));
        async move { Call::as_admin(database).created(&patient).await }
    }))
    .await;
    let late = patients.iter().enumerate().map(|(number, id)| {
        let (method, path, body) = requests(id)[number].clone();
        late(database, &read, method, path, body)
    });
    join_all(late).await;
    assert_eq!(reads_on_record(database).await, 5 * 3);
}

async fn late(database: &PgPool, read: &str, method: Method, path: String, body: Option<Value>) {
    let (address, withheld) = withholding(&options(database)).await;
    let to_the_proxy = options(database).host("127.0.0.1").port(address);
    let pool = store::pool_of(to_the_proxy.ssl_mode(PgSslMode::Disable));
    let call = Call {
        role: if path.ends_with("emergency-access") {
            Role::Clinician
        } else {
            Role::Admin
        },
        ..Call::as_admin(&pool)
    };
    withheld.send_replace(true);
    assert_unavailable(&call.send(method.clone(), &path, body.as_ref()).await);
    withheld.send_replace(false);
    for _ in 0..3 {
        let path = format!("/api/patients/{read}");
        let answer = Call::as_admin(&pool).send(Method::GET, &path, None).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{method} {path}: {}",
            answer.body
        );
    }
}
