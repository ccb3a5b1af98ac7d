//! A mail service for tests: it speaks SES's protocol, keeps the messages that it accepts, and
//! fails when told to.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "only tests call it"
)]

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_ses::config::{BehaviorVersion, Builder, Credentials, Region};
use axum::{Form, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::Mailer;

/// The sender of messages from [`Ses::mailer`].
pub const SENDER: &str = "welcome@clinic.example";

/// The fields of a request, such as `Destination.ToAddresses.member.1`.
pub type Mail = HashMap<String, String>;

/// A rejection: the status, SES's error code and its message.
pub type Refusal = (StatusCode, &'static str, &'static str);

/// SES rejects this message.
pub const MESSAGE_REJECTED: Refusal = (
    StatusCode::BAD_REQUEST,
    "MessageRejected",
    "Address blacklisted: zoe.ærø@clinic.example",
);
/// The recipient's address is not verified, and SES is in its sandbox.
pub const RECIPIENT_NOT_VERIFIED: Refusal = (
    StatusCode::BAD_REQUEST,
    "MessageRejected",
    "Email address is not verified. The following identities failed the check in region \
     US-EAST-1: zoe.ærø@clinic.example",
);
/// [`SENDER`] is not verified.
pub const SENDER_NOT_VERIFIED: Refusal = (
    StatusCode::BAD_REQUEST,
    "MessageRejected",
    "Email address is not verified. The following identities failed the check in region \
     US-EAST-1: welcome@clinic.example, zoe.ærø@clinic.example",
);
/// SES cannot parse the recipient's address.
pub const INVALID_PARAMETER: Refusal = (
    StatusCode::BAD_REQUEST,
    "InvalidParameterValue",
    "Local address contains non-ASCII: zoe.ærø@clinic.example",
);
/// More messages than SES sends per second.
pub const THROTTLING: Refusal = (
    StatusCode::BAD_REQUEST,
    "Throttling",
    "Maximum sending rate exceeded.",
);
/// The account may not send for the time being.
pub const SENDING_PAUSED: Refusal = (
    StatusCode::BAD_REQUEST,
    "AccountSendingPausedException",
    "Sending is paused.",
);
/// SES is down.
pub const DOWN: Refusal = (
    StatusCode::SERVICE_UNAVAILABLE,
    "ServiceUnavailable",
    "Not to zoe.ærø@clinic.example now.",
);

#[derive(Debug, Default)]
struct Mailbox {
    taken: Vec<Mail>,
    refusals: VecDeque<Refusal>,
    delay: Duration,
}

/// The mail service.
#[derive(Debug, Clone)]
pub struct Ses {
    mailbox: Arc<Mutex<Mailbox>>,
    endpoint: String,
}

impl Ses {
    /// Starts on a free port.
    pub async fn start() -> Self {
        let mailbox = Arc::default();
        let routes = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&mailbox));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { mailbox, endpoint }
    }

    /// Rejects the next message.
    pub fn refuse_next(&self, refusal: Refusal) {
        self.mailbox.lock().unwrap().refusals.push_back(refusal);
    }

    /// Delays the response to each message from now on.
    pub fn answer_after(&self, delay: Duration) {
        self.mailbox.lock().unwrap().delay = delay;
    }

    /// The messages that it accepted.
    #[must_use]
    pub fn taken(&self) -> Vec<Mail> {
        self.mailbox.lock().unwrap().taken.clone()
    }

    /// The texts of all messages to this address, in the order in which they were sent.
    #[must_use]
    pub fn texts_to(&self, address: &str) -> Vec<String> {
        let mails = self.taken().into_iter();
        mails
            .filter(|mail| mail["Destination.ToAddresses.member.1"] == address)
            .map(|mut mail| mail.remove("Message.Body.Text.Data").unwrap())
            .collect()
    }

    /// All letters, in the order in which they were sent: their recipient and their MIME.
    #[must_use]
    pub fn letters(&self) -> Vec<(String, String)> {
        let mails = self.taken().into_iter();
        mails
            .filter(|mail| mail["Action"] == "SendRawEmail")
            .map(|mail| {
                let mime = STANDARD.decode(&mail["RawMessage.Data"]).unwrap();
                let recipient = mail["Destinations.member.1"].clone();
                (recipient, String::from_utf8(mime).unwrap())
            })
            .collect()
    }

    /// A mailer that sends through it, from [`SENDER`].
    #[must_use]
    pub fn mailer(&self) -> Mailer {
        Mailer::with_config(SENDER, self.config())
    }

    /// Where it is. It takes text messages, too, as SNS does: they are among the [`taken`](Self::taken).
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The configuration with which an SDK client finds it.
    #[must_use]
    pub fn config(&self) -> Builder {
        Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .http_client(store::http_client())
            .endpoint_url(&self.endpoint)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
    }
}

async fn answer(
    State(mailbox): State<Arc<Mutex<Mailbox>>>,
    Form(mail): Form<Mail>,
) -> impl IntoResponse {
    let delay = mailbox.lock().unwrap().delay;
    tokio::time::sleep(delay).await;
    let mut mailbox = mailbox.lock().unwrap();
    if let Some((status, code, message)) = mailbox.refusals.pop_front() {
        let body = format!(
            "<ErrorResponse xmlns=\"http://ses.amazonaws.com/doc/2010-12-01/\"><Error>\
             <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>\
             </Error><RequestId>r</RequestId></ErrorResponse>"
        );
        return (status, body);
    }
    let action = mail["Action"].clone();
    mailbox.taken.push(mail);
    let body = format!(
        "<{action}Response xmlns=\"http://ses.amazonaws.com/doc/2010-12-01/\">\
         <{action}Result><MessageId>message-{}</MessageId></{action}Result>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>",
        mailbox.taken.len()
    );
    (StatusCode::OK, body)
}
