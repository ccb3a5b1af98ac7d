//! The Lambda runtime API, as one execution environment sees it
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::AbortHandle,
};
use uuid::Uuid;

const PREFIX: &str = "/2018-06-01/runtime/";
/// What the function is told about how long it may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// Serves one process. Ends with this value.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The process, whenever it is ready for an event.
    pub(crate) polls: mpsc::UnboundedReceiver<Poll>,
    /// What it answers to events.
    pub(crate) answers: mpsc::UnboundedReceiver<Answer>,
    server: AbortHandle,
}

/// The process is ready for an event.
#[derive(Debug)]
pub(crate) struct Poll {
    /// Since when.
    pub(crate) at: Instant,
    /// Takes the event.
    pub(crate) event: oneshot::Sender<Bytes>,
}

/// The process has answered: with the function's result, or with its failure.
#[derive(Debug)]
pub(crate) struct Answer {
    /// When all of the answer was there.
    pub(crate) at: Instant,
    /// What it says.
    pub(crate) body: Bytes,
}

#[derive(Clone)]
struct Channels {
    polls: mpsc::UnboundedSender<Poll>,
    answers: mpsc::UnboundedSender<Answer>,
}

impl RuntimeApi {
    /// Listens on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (poll_sender, polls) = mpsc::unbounded_channel();
        let (answer_sender, answers) = mpsc::unbounded_channel();
        let channels = Channels {
            polls: poll_sender,
            answers: answer_sender,
        };
        let server = tokio::spawn(accept(listener, channels)).abort_handle();
        Ok(Self {
            address,
            polls,
            answers,
            server,
        })
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
            // Whatever goes wrong here, the process is gone or will ask again.
            async move {
                Ok::<_, Infallible>(channels.serve(request).await.unwrap_or_else(|_| {
                    let mut response = Response::default();
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    response
                }))
            }
        });
        // A connection that breaks off is the end of the process, which is watched.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

impl Channels {
    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let path = request
            .uri()
            .path()
            .strip_prefix(PREFIX)
            .unwrap_or_default();
        let parts: Vec<&str> = path.split('/').collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", _, "response" | "error"] | ["init", "error"]) => {
                self.answer(request).await
            }
            _ => Ok(Response::builder()
                .status(StatusCode::NOT_FOUND)
                .body(Full::default())?),
        }
    }

    async fn next(&self) -> Result<Response<Full<Bytes>>> {
        let at = Instant::now();
        let (sender, event) = oneshot::channel();
        self.polls.send(Poll { at, event: sender })?;
        let event = event.await.context("nobody wants anything any more")?;
        let deadline = (SystemTime::now() + DEADLINE).duration_since(UNIX_EPOCH)?;
        Ok(Response::builder()
            .header("Content-Type", "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", Uuid::now_v7().to_string())
            .header(
                "Lambda-Runtime-Deadline-Ms",
                deadline.as_millis().to_string(),
            )
            .header(
                "Lambda-Runtime-Invoked-Function-Arn",
                "arn:aws:lambda:us-east-1:000000000000:function:benchmark",
            )
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
}
