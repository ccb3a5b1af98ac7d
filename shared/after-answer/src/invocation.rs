//! What an invocation leaves behind.

use std::{
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use lambda_runtime::LambdaInvocation;
use tokio::sync::mpsc::UnboundedSender;
use tower::{Layer, Service};
use tracing::Instrument as _;

/// What is to be done after the answer.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

tokio::task_local! {
    static CURRENT: Arc<Invocation>;
}

/// Has this done once the response of the current request is on its way. Nobody waits for it then. Does
/// it at once, and waits, if there is no such later.
///
/// What is left behind by one request is done in order.
pub async fn after_answer(work: impl Future<Output = ()> + Send + 'static) {
    let work: Work = Box::pin(work.in_current_span());
    let refused = match CURRENT.try_with(Arc::clone) {
        Ok(invocation) => invocation.leave(work),
        Err(_) => Some(work),
    };
    if let Some(work) = refused {
        work.await;
    }
}

/// The same work within the current invocation, for a task of its own.
pub fn in_invocation<W: Future>(work: W) -> impl Future<Output = W::Output> {
    let current = CURRENT.try_with(Arc::clone).ok();
    async move {
        match current {
            Some(current) => CURRENT.scope(current, work).await,
            None => work.await,
        }
    }
}

/// An invocation of the function.
#[derive(Default)]
struct Invocation(Mutex<Left>);

/// What it leaves behind.
enum Left {
    /// This, so far.
    Open(Vec<Work>),
    /// Nothing more: it is over.
    Over,
}

impl Default for Left {
    fn default() -> Self {
        Self::Open(Vec::new())
    }
}

impl Invocation {
    /// Takes the work over, or gives it back.
    fn leave(&self, work: Work) -> Option<Work> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Left::Open(left) => {
                left.push(work);
                None
            }
            Left::Over => Some(work),
        }
    }

    /// What was left behind. From now on, nothing is taken over.
    fn end(&self) -> Vec<Work> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match mem::replace(&mut *left, Left::Over) {
            Left::Open(left) => left,
            Left::Over => Vec::new(),
        }
    }
}

/// An invocation that is over.
pub(crate) struct Ended {
    pub(crate) request_id: String,
    pub(crate) left: Vec<Work>,
}

/// Says so when it is dropped, however the invocation has ended.
struct Guard {
    invocation: Arc<Invocation>,
    request_id: String,
    ended: UnboundedSender<Ended>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let ended = Ended {
            request_id: mem::take(&mut self.request_id),
            left: self.invocation.end(),
        };
        // Nobody listens any more: the process is about to end, and what is in the outbox stays there.
        let _ = self.ended.send(ended);
    }
}

/// The layer that notes what each invocation leaves behind, and says so once its response was posted.
#[derive(Debug, Clone)]
pub struct Invocations {
    pub(crate) ended: UnboundedSender<Ended>,
}

impl<S> Layer<S> for Invocations {
    type Service = Noting<S>;

    fn layer(&self, runtime: S) -> Noting<S> {
        Noting {
            runtime,
            ended: self.ended.clone(),
        }
    }
}

/// See [`Invocations`].
#[derive(Debug, Clone)]
pub struct Noting<S> {
    runtime: S,
    ended: UnboundedSender<Ended>,
}

impl<S> Service<LambdaInvocation> for Noting<S>
where
    S: Service<LambdaInvocation>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.runtime.poll_ready(context)
    }

    fn call(&mut self, event: LambdaInvocation) -> Self::Future {
        let invocation = Arc::new(Invocation::default());
        let guard = Guard {
            invocation: Arc::clone(&invocation),
            request_id: event.context.request_id.clone(),
            ended: self.ended.clone(),
        };
        // Within the scope, because a service may begin its work before it is awaited.
        let posted = CURRENT.sync_scope(Arc::clone(&invocation), || self.runtime.call(event));
        Box::pin(async move {
            let posted = CURRENT.scope(invocation, posted).await;
            drop(guard);
            posted
        })
    }
}
