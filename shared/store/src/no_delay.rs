//! Connections that send at once what is written to them.
//!
//! `sqlx` 0.9.0 leaves Nagle's algorithm on: of what is written in several parts, the last waits until
//! the server has acknowledged the others, which a server that has nothing to say yet does after 40 ms.
//! So every login over TLS waits, and every statement that is longer than a TLS record. The fix is not
//! released (<https://github.com/transact-rs/sqlx/issues/4335>), and `sqlx` gives no access to its socket,
//! so that the sockets of the process are looked up. Where that is not possible, connections work as
//! before, only slower. Delete this module when there is a release with the fix.

#[cfg(target_os = "linux")]
mod sockets;

use std::{future::poll_fn, io, os::fd::RawFd};

use futures::FutureExt as _;
use sqlx::PgPool;

/// Awaits what takes a connection from the pool. If one has to be opened for that, it sends at once from
/// its beginning.
pub(crate) async fn without_delay<F: Future>(database: &PgPool, taking: F) -> F::Output {
    let taking = Box::pin(taking);
    if database.num_idle() == 0 {
        opening(taking).await
    } else {
        taking.await
    }
}

/// Awaits what opens a connection, and sets `TCP_NODELAY` on its socket before anything is sent.
async fn opening<F: Future + Unpin>(mut opening: F) -> F::Output {
    let mut known = Vec::new();
    set_or_say(&mut known);
    let before = known.len();
    poll_fn(|context| {
        let progress = opening.poll_unpin(context);
        // Whoever waits for a connection has a socket already. Once that is found, there is nothing to
        // look for: a login with a password waits many hundred times, for itself.
        if progress.is_pending() && known.len() == before {
            set_or_say(&mut known);
        }
        progress
    })
    .await
}

/// Sets `TCP_NODELAY` on every TCP socket of this process.
pub(crate) fn set_no_delay() {
    set_or_say(&mut Vec::new());
}

fn set_or_say(known: &mut Vec<RawFd>) {
    if let Err(error) = set(known) {
        tracing::debug!(%error, "the sockets of this process cannot be looked up");
    }
}

#[cfg(target_os = "linux")]
fn set(known: &mut Vec<RawFd>) -> io::Result<()> {
    sockets::set_no_delay(known)
}

#[cfg(not(target_os = "linux"))]
fn set(_: &mut Vec<RawFd>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_connection_sends_at_once_from_its_beginning() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let opened = opening(Box::pin(async {
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
