//! The process as an extension of its own function.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use lambda_extension::{LambdaEvent, NextEvent, service_fn};
use lambda_runtime::Error;
use tokio::{
    sync::{
        Mutex,
        mpsc::{UnboundedReceiver, unbounded_channel},
    },
    time::Instant,
};

use crate::invocation::{Ended, Invocations, Work};

/// The name by which Lambda knows the extension.
const NAME: &str = "after-answer";

/// How long the environment waits for everything that one invocation has left behind. Together with the
/// deadline of a request, it is less than the time-out of a function, which covers both.
const AT_MOST: Duration = Duration::from_secs(3);

/// When the last of it begins: what takes half as long as everything may is never frozen in the middle.
const LAST_BEGINS: Duration = Duration::from_millis(1500);

/// The process, registered as an extension of its own function.
pub struct Extension {
    invocations: Invocations,
    running: Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>,
}

impl std::fmt::Debug for Extension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extension").finish_non_exhaustive()
    }
}

impl Extension {
    /// Registers this process, before its runtime asks for the first event. `None` if the runtime API
    /// has no extensions: then all work is done before the answer.
    pub async fn register() -> Option<Self> {
        let (ended, invocations) = unbounded_channel();
        let invocations = Arc::new(Mutex::new(invocations));
        let finish = service_fn(move |event: LambdaEvent| {
            let invocations = Arc::clone(&invocations);
            async move {
                if let NextEvent::Invoke(invoked) = event.next {
                    finish(&mut *invocations.lock().await, &invoked.request_id).await;
                }
                // Never an error: the environment would be given up.
                Ok::<_, Infallible>(())
            }
        });
        let extension = lambda_extension::Extension::new()
            .with_extension_name(NAME)
            // Lambda tells internal extensions of nothing else.
            .with_events(&["INVOKE"])
            .with_events_processor(finish);
        match extension.register().await {
            Ok(registered) => Some(Self {
                invocations: Invocations { ended },
                running: Box::pin(registered.run()),
            }),
            Err(error) => {
                tracing::debug!(
                    cause = %error,
                    "no extension can be registered: nothing is left for after the answer"
                );
                None
            }
        }
    }

    /// The layer for the runtime, which notes what its invocations leave behind.
    #[must_use]
    pub fn invocations(&self) -> Invocations {
        self.invocations.clone()
    }

    /// Does what is left behind, besides the runtime.
    ///
    /// # Errors
    /// If the extensions API fails. Then the process has to end: Lambda would wait for it after each
    /// invocation.
    pub async fn run(self) -> Result<(), Error> {
        self.running.await
    }
}

/// Waits for the end of this invocation, and does what it has left behind.
async fn finish(invocations: &mut UnboundedReceiver<Ended>, request_id: &str) {
    while let Some(ended) = invocations.recv().await {
        let is_over = ended.request_id == request_id;
        work(ended.left).await;
        if is_over {
            return;
        }
    }
}

/// Does the work in order. What takes too long goes on without being waited for, and what has not begun
/// by then is not done.
async fn work(left: Vec<Work>) {
    if left.is_empty() {
        return;
    }
    let begun = Instant::now();
    let all = async {
        for work in left {
            if begun.elapsed() >= LAST_BEGINS {
                tracing::warn!("there is no time for all work after the answer");
                return;
            }
            // A task of its own, which may panic, and is never abandoned.
            if let Err(error) = tokio::spawn(work).await {
                tracing::error!(cause = %error, "work after the answer was not done");
            }
        }
    };
    if tokio::time::timeout(AT_MOST, all).await.is_err() {
        tracing::warn!("work after the answer took too long");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn ended(request_id: &str, left: Vec<Work>) -> Ended {
        Ended {
            request_id: request_id.to_owned(),
            left,
        }
    }

    fn counting(counter: &Arc<AtomicUsize>) -> Work {
        let counter = Arc::clone(counter);
        Box::pin(async move {
            counter.fetch_add(1, Ordering::Relaxed);
        })
    }

    #[tokio::test]
    async fn an_invocation_is_finished_once_its_own_work_is_done() {
        let (invocations, mut to_finish) = unbounded_channel();
        let done = Arc::new(AtomicUsize::new(0));
        for (request_id, left) in [
            // One that this process was not told of.
            ("before", vec![counting(&done)]),
            ("this", vec![Box::pin(async { panic!() }), counting(&done)]),
            ("next", vec![counting(&done)]),
        ] {
            invocations.send(ended(request_id, left)).ok().unwrap();
        }
        finish(&mut to_finish, "this").await;
        assert_eq!(done.load(Ordering::Relaxed), 2);
        finish(&mut to_finish, "next").await;
        assert_eq!(done.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_never_ends_does_not_hold_up_the_environment() {
        let (invocations, mut to_finish) = unbounded_channel();
        let never: Work = Box::pin(std::future::pending());
        invocations.send(ended("this", vec![never])).ok().unwrap();
        finish(&mut to_finish, "this").await;
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_begins_that_would_be_frozen_in_the_middle() {
        let (invocations, mut to_finish) = unbounded_channel();
        let done = Arc::new(AtomicUsize::new(0));
        let slow =
            || -> Work { Box::pin(async { tokio::time::sleep(Duration::from_millis(800)).await }) };
        let left = vec![slow(), counting(&done), slow(), counting(&done)];
        invocations.send(ended("this", left)).ok().unwrap();
        finish(&mut to_finish, "this").await;
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }
}
