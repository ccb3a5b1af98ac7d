//! A value that is loaded from elsewhere with its first use, and kept for a while.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::Mutex;

/// One value, loaded by one request at a time.
#[derive(Debug)]
pub(crate) struct Cached<T> {
    keep_for: Duration,
    held: Mutex<Option<Held<T>>>,
}

#[derive(Debug)]
struct Held<T> {
    value: Arc<T>,
    loaded: SystemTime,
    /// When it was last tried to load it, with or without success.
    tried: SystemTime,
}

impl<T> Cached<T> {
    /// Keeps what is loaded for this long.
    pub(crate) fn new(keep_for: Duration) -> Self {
        Self {
            keep_for,
            held: Mutex::new(None),
        }
    }

    /// The value: what is held, or what `load` brings. A failure to load is not kept.
    pub(crate) async fn get<E>(
        &self,
        load: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let mut held = self.held.lock().await;
        if let Some(held) = held
            .as_ref()
            .filter(|held| is_within(held.loaded, self.keep_for))
        {
            return Ok(Arc::clone(&held.value));
        }
        Ok(Self::replace(&mut held, load.await?))
    }

    /// The value after loading it again, because what is held does not do; but what is
    /// held if the last try is not older than `pause`.
    pub(crate) async fn get_newer<E>(
        &self,
        pause: Duration,
        load: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_mut() {
            if is_within(held.tried, pause) {
                return Ok(Arc::clone(&held.value));
            }
            held.tried = SystemTime::now();
        }
        Ok(Self::replace(&mut held, load.await?))
    }

    fn replace(held: &mut Option<Held<T>>, value: T) -> Arc<T> {
        let now = SystemTime::now();
        let value = Arc::new(value);
        *held = Some(Held {
            value: Arc::clone(&value),
            loaded: now,
            tried: now,
        });
        value
    }
}

/// Whether it is less than this long since. By the wall clock, because the monotonic one
/// may stand still while Lambda has the process frozen; a clock that was set back counts
/// as too long.
fn is_within(since: SystemTime, limit: Duration) -> bool {
    since.elapsed().is_ok_and(|elapsed| elapsed < limit)
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Ready, ready},
        sync::atomic::{AtomicU32, Ordering},
    };

    use tokio::task::yield_now;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[derive(Default)]
    struct Elsewhere(AtomicU32);

    impl Elsewhere {
        async fn load(&self) -> Result<u32, &'static str> {
            yield_now().await;
            Ok(self.0.fetch_add(1, Ordering::Relaxed))
        }
    }

    fn failing() -> Ready<Result<u32, &'static str>> {
        ready(Err("down"))
    }

    #[tokio::test]
    async fn it_is_loaded_once_while_it_is_kept() {
        let (cached, elsewhere) = (Cached::new(LONG), Elsewhere::default());
        assert_eq!(cached.get(failing()).await, Err("down"));
        assert_eq!(*cached.get(elsewhere.load()).await.unwrap(), 0);
        assert_eq!(*cached.get(elsewhere.load()).await.unwrap(), 0);
        assert_eq!(*cached.get(failing()).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn it_is_loaded_again_when_it_was_kept_long_enough() {
        let (cached, elsewhere) = (Cached::new(Duration::ZERO), Elsewhere::default());
        assert_eq!(*cached.get(elsewhere.load()).await.unwrap(), 0);
        assert_eq!(*cached.get(elsewhere.load()).await.unwrap(), 1);
        assert_eq!(cached.get(failing()).await, Err("down"));
    }

    #[tokio::test]
    async fn something_newer_is_not_asked_for_too_often() {
        let (cached, elsewhere) = (Cached::new(LONG), Elsewhere::default());
        assert_eq!(*cached.get_newer(LONG, elsewhere.load()).await.unwrap(), 0);
        assert_eq!(*cached.get_newer(LONG, elsewhere.load()).await.unwrap(), 0);
        assert_eq!(
            *cached
                .get_newer(Duration::ZERO, elsewhere.load())
                .await
                .unwrap(),
            1
        );
        assert_eq!(
            cached.get_newer(Duration::ZERO, failing()).await,
            Err("down")
        );
        assert_eq!(*cached.get(elsewhere.load()).await.unwrap(), 1);
    }
}
