//! A mail service that speaks SES's protocol, keeps what it took, and is down when it is
//! told to be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use auth::send_account_messages::Mail;
use aws_sdk_ses::config::{BehaviorVersion, Config, Credentials, Region, retry::RetryConfig};
use axum::{Form, Router, extract::State, response::IntoResponse, routing::post};
use http::StatusCode;

type Fields = HashMap<String, String>;

#[derive(Debug, Default)]
struct Mailbox {
    taken: Vec<Fields>,
    down: bool,
}

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Ses {
    mailbox: Arc<Mutex<Mailbox>>,
    endpoint: String,
}

impl Ses {
    pub(crate) async fn start() -> Self {
        let mailbox = Arc::default();
        let routes = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&mailbox));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { mailbox, endpoint }
    }

    pub(crate) fn is_down(&self, down: bool) {
        self.mailbox.lock().unwrap().down = down;
    }

    pub(crate) fn mail(&self) -> Mail {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(store::http_client())
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&self.endpoint)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .build();
        let client = aws_sdk_ses::Client::from_conf(config);
        Mail::new("welcome@clinic.example", "Nordlys", client)
    }

    /// The texts of all messages to this address, in the order in which they were sent.
    pub(crate) fn texts_to(&self, address: &str) -> Vec<String> {
        let mailbox = self.mailbox.lock().unwrap();
        let to = |mail: &&Fields| mail["Destination.ToAddresses.member.1"] == address;
        let mails = mailbox.taken.iter().filter(to);
        mails
            .map(|mail| mail["Message.Body.Text.Data"].clone())
            .collect()
    }

    /// The one-time token in the last message to this address.
    pub(crate) fn token_of(&self, address: &str) -> String {
        let text = self.texts_to(address).pop().unwrap();
        let mut lines = text.lines();
        let token = lines.find(|line| line.len() == 43 && !line.contains(' '));
        token.unwrap().to_owned()
    }

    pub(crate) fn count(&self) -> usize {
        self.mailbox.lock().unwrap().taken.len()
    }
}

async fn answer(
    State(mailbox): State<Arc<Mutex<Mailbox>>>,
    Form(mail): Form<Fields>,
) -> impl IntoResponse {
    let mut mailbox = mailbox.lock().unwrap();
    if mailbox.down {
        let body = "<ErrorResponse><Error><Type>Receiver</Type><Code>ServiceUnavailable</Code>\
                    <Message>Later</Message></Error></ErrorResponse>";
        return (StatusCode::SERVICE_UNAVAILABLE, body);
    }
    mailbox.taken.push(mail);
    let body = "<SendEmailResponse xmlns=\"http://ses.amazonaws.com/doc/2010-12-01/\">\
                <SendEmailResult><MessageId>m</MessageId></SendEmailResult>\
                <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></SendEmailResponse>";
    (StatusCode::OK, body)
}
