//! Connections that send at once what is written to them.
//!
//! `sqlx` 0.9.0 leaves Nagle's algorithm on: of what is written in several parts, the last waits until
//! the server has acknowledged the others, which a server that has nothing to say yet does after 40 ms.
//! So every login over TLS waits, and every statement that is longer than a TLS record. The fix is not
//! released (<https://github.com/transact-rs/sqlx/issues/4335>), and `sqlx` gives no access to its socket,
//! so that the sockets of the process are looked up. Where the system does not allow that, as in some
//! containers, connections work as before, only slower. Delete this module when there is a release with the
//! fix.

#[cfg(target_os = "linux")]
mod sockets;

use std::{
    future::poll_fn,
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use futures::FutureExt as _;
use sqlx::PgPool;

/// How often the new socket is looked for. It is there once the name of the server has been looked up, which
/// is waited for once or twice; a login with a password waits many hundred times, for itself.
const LOOKS: u32 = 6;

/// Whether the system refuses to show this process its sockets.
static IS_IMPOSSIBLE: AtomicBool = AtomicBool::new(false);

/// Awaits what takes a connection from the pool. If one is opened for that, it sends at once from its
/// beginning; one that replaces a connection that was lost does so after its login.
pub(crate) async fn without_delay<F: Future>(database: &PgPool, taking: F) -> F::Output {
    let taking = Box::pin(taking);
    let is_full = database.size() >= database.options().get_max_connections();
    if is_full || database.num_idle() > 0 {
        taking.await
    } else {
        opening(taking).await
    }
}

/// Awaits what opens a connection, and sets `TCP_NODELAY` on its socket before anything is sent.
async fn opening<F: Future + Unpin>(mut opening: F) -> F::Output {
    let mut looks = LOOKS;
    poll_fn(|context| {
        let progress = opening.poll_unpin(context);
        if progress.is_pending() && looks > 0 {
            set_no_delay();
            looks -= 1;
        }
        progress
    })
    .await
}

/// Sets `TCP_NODELAY` on every TCP socket of this process.
pub(crate) fn set_no_delay() {
    if IS_IMPOSSIBLE.load(Ordering::Relaxed) {
        return;
    }
    if let Err(error) = set() {
        let kinds = [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported];
        IS_IMPOSSIBLE.store(kinds.contains(&error.kind()), Ordering::Relaxed);
        tracing::debug!(%error, "connections to PostgreSQL have Nagle's algorithm on");
    }
}

#[cfg(target_os = "linux")]
fn set() -> io::Result<()> {
    sockets::set_no_delay()
}

#[cfg(not(target_os = "linux"))]
fn set() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::{
        net::{TcpListener, TcpStream},
        task::yield_now,
    };

    use super::*;

    #[tokio::test]
    async fn a_connection_sends_at_once_from_its_beginning() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let opened = opening(Box::pin(async {
            // As long as the name is looked up.
            yield_now().await;
            let stream = TcpStream::connect(address).await.unwrap();
            stream.nodelay().unwrap()
        }));
        assert!(opened.await);
    }

    #[tokio::test]
    async fn a_connection_that_is_open_already_sends_at_once_from_then_on() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        set_no_delay();
        assert!(stream.nodelay().unwrap());
    }
}
