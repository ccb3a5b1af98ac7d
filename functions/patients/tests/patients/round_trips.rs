//! How often a warm function waits for the database: every round trip is half a millisecond within a
//! data centre, whatever the database does with it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::http::{Method, StatusCode};
use sqlx::{PgPool, postgres::PgSslMode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split},
    net::{TcpListener, tcp::OwnedReadHalf},
};

use crate::{
    fixtures::{Call, with, zoe},
    lost_connections::connect,
};

/// The messages that the server answers: a simple query, and the end of an extended one
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
const ANSWERED: [u8; 2] = [b'Q', b'S'];

/// A database behind a proxy that counts what it has to answer.
struct Counted {
    database: PgPool,
    round_trips: Arc<AtomicUsize>,
}

impl Counted {
    async fn of(database: &PgPool) -> Self {
        let options = database.connect_options().as_ref().clone();
        let server = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let round_trips = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&round_trips);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = connect(&server.0, server.1).await;
                let (from_client, mut to_client) = client.into_split();
                let (mut from_server, to_server) = split(server);
                tokio::spawn(forward(from_client, to_server, Arc::clone(&count)));
                tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            }
        });
        let options = options
            .host("127.0.0.1")
            .port(port)
            .ssl_mode(PgSslMode::Disable);
        Self {
            database: store::pool_of(options),
            round_trips,
        }
    }

    /// How many round trips this request takes, when the statements are prepared. The connection is
    /// given back meanwhile, which nobody waits for.
    async fn round_trips(&self, method: Method, path: &str, status: StatusCode) -> usize {
        let mut fewest = usize::MAX;
        for number in 0..4 {
            let email = format!("zoe.{number}.{}@clinic.example", self.count());
            let body = (method != Method::GET).then(|| with(zoe(), "email", email));
            self.rest().await;
            let before = self.count();
            let call = Call::as_admin(&self.database);
            let answer = call.send(method.clone(), path, body.as_ref()).await;
            assert_eq!(answer.status, status, "{}", answer.body);
            self.rest().await;
            fewest = fewest.min(self.count() - before);
        }
        fewest - GIVING_BACK
    }

    fn count(&self) -> usize {
        self.round_trips.load(Ordering::SeqCst)
    }

    /// Waits until all connections have been given back.
    async fn rest(&self) {
        while usize::try_from(self.database.size()).unwrap() != self.database.num_idle() {
            tokio::task::yield_now().await;
        }
    }
}

/// The connection is cleaned, and tested.
const GIVING_BACK: usize = 2;

async fn forward(
    mut from: OwnedReadHalf,
    mut to: impl AsyncWrite + Unpin,
    count: Arc<AtomicUsize>,
) -> io::Result<()> {
    // The first message has no type.
    let mut kind = None;
    loop {
        if let Some(kind) = kind {
            to.write_u8(kind).await?;
            if ANSWERED.contains(&kind) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
        let length = from.read_u32().await?;
        to.write_u32(length).await?;
        let mut rest = vec![0; usize::try_from(length).unwrap() - 4];
        from.read_exact(&mut rest).await?;
        to.write_all(&rest).await?;
        to.flush().await?;
        kind = Some(from.read_u8().await?);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_warm_function_waits_for_the_database_as_seldom_as_it_can(database: PgPool) {
    let counted = Counted::of(&database).await;
    let id = Call::as_admin(&database).created(&zoe()).await;
    let one = format!("/api/patients/{id}");
    let (get, post) = (Method::GET, Method::POST);
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    let found = [
        counted.round_trips(get.clone(), &one, ok).await,
        counted.round_trips(get, "/api/patients", ok).await,
        counted.round_trips(post, "/api/patients", created).await,
    ];
    assert_eq!(found, [1, 1, 12], "one, the list, a registration");
}
