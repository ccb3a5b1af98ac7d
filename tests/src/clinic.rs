//! The API as its users see it.

use std::{fs::File, time::Duration};

use identity::Role;
use reqwest::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Aws, Call, NewPatient, Patient, Stack, User, http_client};

/// Longer than any response of the gateway may take.
const TIMEOUT: Duration = Duration::from_secs(40);

/// The deployed system, with a lock that lets this test use it.
///
/// Most tests share the system, each with patients of its own. A test that stops a part of it takes
/// it [`alone`](Self::alone); the others wait meanwhile, even in other processes.
pub struct Clinic {
    stack: Stack,
    http: Client,
    _turn: File,
}

impl Clinic {
    /// The system, shared with other tests.
    #[must_use]
    pub fn open() -> Self {
        Self::enter(File::lock_shared)
    }

    /// The system, without any other test.
    #[must_use]
    pub fn alone() -> Self {
        Self::enter(File::lock)
    }

    fn enter(lock: impl FnOnce(&File) -> std::io::Result<()>) -> Self {
        let stack = Stack::running();
        let turn = File::create(stack.directory().join("tests.lock"))
            .expect("the stack's folder can be written to");
        lock(&turn).expect("the file system has locks");
        Self {
            // Read again: an earlier test may have restarted a service.
            stack: Stack::running(),
            http: client(),
            _turn: turn,
        }
    }

    /// The stack and its addresses.
    #[must_use]
    pub const fn stack(&self) -> &Stack {
        &self.stack
    }

    /// AWS, behind the API.
    #[must_use]
    pub fn aws(&self) -> Aws<'_> {
        Aws::new(&self.stack, &self.http)
    }

    /// A caller without an access token.
    #[must_use]
    pub fn stranger(&self) -> Visitor {
        Visitor {
            http: self.http.clone(),
            api_url: self.stack.api_url.clone(),
            token: None,
        }
    }

    /// A caller with this access token.
    #[must_use]
    pub fn bearer(&self, token: &str) -> Visitor {
        Visitor {
            token: Some(token.to_owned()),
            ..self.stranger()
        }
    }

    /// The demo user of this role, logged in.
    pub async fn log_in(&self, role: Role) -> Visitor {
        self.log_in_as(self.stack.user(role)).await
    }

    /// This user, logged in.
    pub async fn log_in_as(&self, user: &User) -> Visitor {
        let welcome = self.welcome(user).await;
        self.bearer(welcome["token"].as_str().expect("a token"))
    }

    /// Logs in as this user, and returns the whole response.
    pub async fn welcome(&self, user: &User) -> Value {
        let body = json!({ "email": user.email, "password": user.password });
        let answer = self.stranger().post("/auth/login").json(&body);
        answer.answers(200).await.json()
    }

    /// Creates a user, for anything that would disturb other tests if a demo user did it.
    pub async fn hire(&self, role: Role) -> User {
        let user = User {
            email: format!("{}@clinic.example", Uuid::new_v4()),
            password: format!("staff {}", Uuid::new_v4()),
            role,
        };
        let users = json!({ "users": [
            { "email": user.email, "password": user.password, "role": role }
        ] });
        let invoked = self.aws().invoke("create-users", &users).await;
        assert_eq!(invoked.payload["created"], 1, "{invoked:?}");
        user
    }

    /// The administrator, logged in.
    pub async fn administrator(&self) -> Visitor {
        self.log_in(Role::Admin).await
    }
}

/// Calls the API directly: no proxy, and redirects are not followed.
fn client() -> Client {
    http_client()
        .timeout(TIMEOUT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("an HTTP client")
}

/// A caller of the API.
#[derive(Clone)]
pub struct Visitor {
    http: Client,
    api_url: String,
    token: Option<String>,
}

impl Visitor {
    /// `GET`; the path begins with a slash.
    pub fn get(&self, path: &str) -> Call {
        self.call("GET", path)
    }

    /// `POST`; the path begins with a slash.
    pub fn post(&self, path: &str) -> Call {
        self.call("POST", path)
    }

    /// `PUT`; the path begins with a slash.
    pub fn put(&self, path: &str) -> Call {
        self.call("PUT", path)
    }

    /// `DELETE`; the path begins with a slash.
    pub fn delete(&self, path: &str) -> Call {
        self.call("DELETE", path)
    }

    /// Any method; the path begins with a slash.
    pub fn call(&self, method: &str, path: &str) -> Call {
        let call = Call::new(&self.http, method, &format!("{}{path}", self.api_url));
        match &self.token {
            Some(token) => call.header("Authorization", &format!("Bearer {token}")),
            None => call,
        }
    }

    /// The access token.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token.as_deref().expect("somebody who is logged in")
    }

    /// Registers a patient.
    pub async fn register(&self, patient: &NewPatient) -> Patient {
        let answer = self.post("/api/patients").json(patient).answers(201).await;
        answer.read()
    }

    /// Registers a patient that no other test uses.
    pub async fn register_somebody(&self) -> Patient {
        self.register(&NewPatient::unique()).await
    }
}
