//! The Lambda runtime API (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>) and the
//! extensions API (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>), as one
//! execution environment sees them.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::AbortHandle,
};
use uuid::Uuid;

const RUNTIME: &str = "/2018-06-01/runtime/";
const EXTENSION: &str = "/2020-01-01/extension/";
const IDENTIFIER: &str = "Lambda-Extension-Identifier";
const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:benchmark";

/// The deadline given to the function.
const DEADLINE: Duration = Duration::from_mins(1);

/// Serves one process, until this value is dropped.
#[derive(Debug)]
pub struct RuntimeApi {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// The responses of the process.
    pub answers: mpsc::UnboundedReceiver<Answer>,
    runtime: Polls<Invocation>,
    extension: Polls<String>,
    is_extended: Arc<AtomicBool>,
    server: AbortHandle,
}

/// The process has responded: with the function's result, or with its failure.
#[derive(Debug)]
pub struct Answer {
    /// When the whole response had arrived.
    pub at: Instant,
    /// The content of the response.
    pub body: Bytes,
}

/// The environment waits for an invocation.
#[derive(Debug)]
pub struct Idle {
    /// When all had asked for it: an environment that is idle may be frozen.
    pub at: Instant,
    runtime: oneshot::Sender<Invocation>,
    extension: Option<oneshot::Sender<String>>,
}

#[derive(Debug)]
struct Invocation {
    request_id: String,
    event: Bytes,
}

/// Somebody asks for the next event.
#[derive(Debug)]
struct Poll<T> {
    at: Instant,
    event: oneshot::Sender<T>,
}

/// The polls of a runtime or of an extension.
#[derive(Debug)]
struct Polls<T> {
    waiting: Option<Poll<T>>,
    coming: mpsc::UnboundedReceiver<Poll<T>>,
}

impl<T> Polls<T> {
    const fn new(coming: mpsc::UnboundedReceiver<Poll<T>>) -> Self {
        Self {
            waiting: None,
            coming,
        }
    }

    async fn wait(&mut self) -> Option<()> {
        if self.waiting.is_none() {
            self.waiting = Some(self.coming.recv().await?);
        }
        Some(())
    }

    fn is_waiting(&mut self) -> bool {
        if self.waiting.is_none() {
            self.waiting = self.coming.try_recv().ok();
        }
        self.waiting.is_some()
    }
}

#[derive(Clone)]
struct Channels {
    runtime: mpsc::UnboundedSender<Poll<Invocation>>,
    extension: mpsc::UnboundedSender<Poll<String>>,
    answers: mpsc::UnboundedSender<Answer>,
    is_extended: Arc<AtomicBool>,
    has_extensions: bool,
}

impl RuntimeApi {
    /// Listens on a free port.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start() -> Result<Self> {
        Self::start_with(true).await
    }

    /// The same with a runtime API that has no extensions.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn without_extensions() -> Result<Self> {
        Self::start_with(false).await
    }

    async fn start_with(has_extensions: bool) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (runtime, runtime_polls) = mpsc::unbounded_channel();
        let (extension, extension_polls) = mpsc::unbounded_channel();
        let (answer_sender, answers) = mpsc::unbounded_channel();
        let is_extended = Arc::new(AtomicBool::new(false));
        let channels = Channels {
            runtime,
            extension,
            answers: answer_sender,
            is_extended: Arc::clone(&is_extended),
            has_extensions,
        };
        let server = tokio::spawn(accept(listener, channels)).abort_handle();
        Ok(Self {
            address,
            answers,
            runtime: Polls::new(runtime_polls),
            extension: Polls::new(extension_polls),
            is_extended,
            server,
        })
    }

    /// Whether the process has registered an extension. It has to before its runtime asks for the first
    /// event.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.is_extended.load(Ordering::Relaxed)
    }

    /// Waits until the environment is idle. Nothing if this value is about to be dropped. May be
    /// abandoned.
    pub async fn idle(&mut self) -> Option<Idle> {
        self.runtime.wait().await?;
        if self.is_extended() {
            self.extension.wait().await?;
        }
        let runtime = self.runtime.waiting.take()?;
        let extension = self.extension.waiting.take();
        let extension_at = extension.as_ref().map(|poll| poll.at);
        Some(Idle {
            at: extension_at.map_or(runtime.at, |at| at.max(runtime.at)),
            runtime: runtime.event,
            extension: extension.map(|poll| poll.event),
        })
    }

    /// Waits until the runtime asks for the next invocation, whether or not the environment is idle. May
    /// be abandoned.
    pub async fn runtime_waits(&mut self) -> Option<()> {
        self.runtime.wait().await
    }

    /// Whether the extension asks for the next invocation.
    pub fn extension_waits(&mut self) -> bool {
        self.extension.is_waiting()
    }
}

impl Idle {
    /// Lets the environment handle this event. Returns whether it is still there.
    #[must_use]
    pub fn invoke(self, event: Bytes) -> bool {
        let request_id = Uuid::now_v7().to_string();
        let is_told = self
            .extension
            .is_none_or(|extension| extension.send(request_id.clone()).is_ok());
        let invocation = Invocation { request_id, event };
        self.runtime.send(invocation).is_ok() && is_told
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, channels: Channels) {
    while let Ok((stream, _)) = listener.accept().await {
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let channels = channels.clone();
        let service = service_fn(move |request| {
            let channels = channels.clone();
            // Whatever goes wrong here, the process has ended or will ask again.
            async move {
                Ok::<_, Infallible>(channels.serve(request).await.unwrap_or_else(|_| {
                    let mut response = Response::default();
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    response
                }))
            }
        });
        // A broken connection means that the process has ended, which is watched separately.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

impl Channels {
    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let path = request.uri().path().to_owned();
        if let Some(path) = path.strip_prefix(RUNTIME) {
            let parts: Vec<&str> = path.split('/').collect();
            return match (request.method(), parts.as_slice()) {
                (&Method::GET, ["invocation", "next"]) => self.next().await,
                (&Method::POST, ["invocation", _, "response" | "error"] | ["init", "error"]) => {
                    self.answer(request).await
                }
                _ => not_found(),
            };
        }
        match (request.method(), path.strip_prefix(EXTENSION)) {
            (&Method::POST, Some("register")) if self.has_extensions => self.register(),
            (&Method::GET, Some("event/next")) if self.has_extensions => self.next_event().await,
            _ => not_found(),
        }
    }

    async fn next(&self) -> Result<Response<Full<Bytes>>> {
        let Invocation { request_id, event } = next(&self.runtime).await?;
        Ok(Response::builder()
            .header("Content-Type", "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", request_id)
            .header("Lambda-Runtime-Deadline-Ms", deadline()?.to_string())
            .header("Lambda-Runtime-Invoked-Function-Arn", ARN)
            .body(Full::new(event))?)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let body = request.into_body().collect().await?.to_bytes();
        self.answers.send(Answer {
            at: Instant::now(),
            body,
        })?;
        Ok(Response::builder()
            .status(StatusCode::ACCEPTED)
            .body(Full::default())?)
    }

    fn register(&self) -> Result<Response<Full<Bytes>>> {
        self.is_extended.store(true, Ordering::Relaxed);
        let about = json!({
            "functionName": "benchmark",
            "functionVersion": "$LATEST",
            "handler": "bootstrap",
        });
        Ok(Response::builder()
            .header(IDENTIFIER, Uuid::now_v7().to_string())
            .body(Full::from(about.to_string()))?)
    }

    async fn next_event(&self) -> Result<Response<Full<Bytes>>> {
        let request_id = next(&self.extension).await?;
        let event = json!({
            "eventType": "INVOKE",
            "deadlineMs": deadline()?,
            "requestId": request_id,
            "invokedFunctionArn": ARN,
            "tracing": { "type": "X-Amzn-Trace-Id", "value": "" },
        });
        Ok(Response::new(Full::from(event.to_string())))
    }
}

async fn next<T: Send + Sync + 'static>(polls: &mpsc::UnboundedSender<Poll<T>>) -> Result<T> {
    let (sender, event) = oneshot::channel();
    polls.send(Poll {
        at: Instant::now(),
        event: sender,
    })?;
    event.await.context("there are no more events")
}

fn deadline() -> Result<u64> {
    let deadline = (SystemTime::now() + DEADLINE).duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(deadline.as_millis())?)
}

fn not_found() -> Result<Response<Full<Bytes>>> {
    Ok(Response::builder()
        .status(StatusCode::NOT_FOUND)
        .body(Full::default())?)
}
