//! A value that is loaded on first use and cached for a while.

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
    /// The last attempt to load it, successful or not.
    tried: SystemTime,
}

impl<T> Cached<T> {
    /// Caches the value for this long.
    pub(crate) fn new(keep_for: Duration) -> Self {
        Self {
            keep_for,
            held: Mutex::new(None),
        }
    }

    /// The cached value, or what `load` returns. Failures are not cached.
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

    /// The value, loaded again because the cached one is insufficient; or the cached one if the
    /// last attempt was less than `pause` ago.
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

/// Whether less than `limit` has passed. By the wall clock, because the monotonic one may stand
/// still while Lambda has the process frozen; if the clock was set back, the limit counts as
/// exceeded.
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
    async fn a_value_is_loaded_once_while_it_is_cached() {
        let (cached, elsewhere) = (Cached::new(LONG), Elsewhere::default());
        assert_eq!(cached.get(failing()).await, Err("down"));
        assert_eq!(*cached.get(elsewhere.load()).await.unwrap(), 0);
        assert_eq!(*cached.get(elsewhere.load()).await.unwrap(), 0);
        assert_eq!(*cached.get(failing()).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_value_is_loaded_again_after_it_has_expired() {
        let (cached, elsewhere) = (Cached::new(Duration::ZERO), Elsewhere::default());
        assert_eq!(*cached.get(elsewhere.load()).await.unwrap(), 0);
        assert_eq!(*cached.get(elsewhere.load()).await.unwrap(), 1);
        assert_eq!(cached.get(failing()).await, Err("down"));
    }

    #[tokio::test]
    async fn a_newer_value_is_not_requested_too_often() {
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
