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
/// The deadline given to the function.
const DEADLINE: Duration = Duration::from_mins(1);

/// Serves one process, until this value is dropped.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    /// The address that it listens on.
    pub(crate) address: SocketAddr,
    /// The polls of the process: it is ready for an event.
    pub(crate) polls: mpsc::UnboundedReceiver<Poll>,
    /// The responses of the process.
    pub(crate) answers: mpsc::UnboundedReceiver<Answer>,
    server: AbortHandle,
}

/// The process is ready for an event.
#[derive(Debug)]
pub(crate) struct Poll {
    /// The time of the poll.
    pub(crate) at: Instant,
    /// Takes the event.
    pub(crate) event: oneshot::Sender<Bytes>,
}

/// The process has responded: with the function's result, or with its failure.
#[derive(Debug)]
pub(crate) struct Answer {
    /// When the whole response had arrived.
    pub(crate) at: Instant,
    /// The content of the response.
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
    /// If no port is free.
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
        let event = event.await.context("there are no more events")?;
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
