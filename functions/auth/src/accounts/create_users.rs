//! `create-users`: creates accounts with passwords, invoked by whoever deploys the system.
//!
//! Existing accounts are left unchanged, so the same call can be part of every deployment, and
//! several calls may run at once.
//!
//! The passwords must follow the password rules, with one exception: the local stack, whose demo
//! users have well-known passwords, accepts any.

use std::collections::HashSet;

use audit_trail::{Action, Outcome, Record, Subject};
use fields::{EmailAddress, Line};
use identity::Role;
use lambda_runtime::{Diagnostic, LambdaEvent};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgPool;
use store::{Transaction, service_fn};
use uuid::Uuid;

use super::account::full_name;
use crate::passwords::{HashingFailed, InvalidPassword, Password, PasswordHash};

/// The most users per call: each costs a password hash.
const MAX_USERS: usize = 50;

/// The input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateUsers {
    users: Vec<UserInput>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserInput {
    email: String,
    password: SecretString,
    role: Role,
    name: Option<String>,
}

struct NewUser {
    email: EmailAddress,
    password: Password,
    role: Role,
    name: Option<Line>,
}

/// Which passwords are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordRules {
    /// Those that users may choose themselves.
    Full,
    /// Any: only where there are no real users and no real patients.
    Demo,
}

impl PasswordRules {
    /// The rules for `ENVIRONMENT`; only `local` gets the exception.
    #[must_use]
    pub fn from_env() -> Self {
        if store::setting("ENVIRONMENT").is_ok_and(|environment| environment == "local") {
            Self::Demo
        } else {
            Self::Full
        }
    }

    fn read(self, password: &SecretString, email: &str) -> Result<Password, InvalidPassword> {
        match self {
            Self::Full => Password::choose(password, email),
            Self::Demo => Password::parse(password),
        }
    }
}

/// How many users were created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CreatedUsers {
    /// Users who got an account.
    pub created: u64,
    /// Users who already had one.
    pub existing: u64,
}

/// Why no account was created.
#[derive(Debug, thiserror::Error)]
pub enum CreateUsersError {
    /// The input is invalid. The message never repeats a value: the input contains passwords.
    #[error("{0}")]
    Invalid(String),
    /// A statement failed.
    #[error("the users cannot be stored: {0}")]
    Database(#[from] sqlx::Error),
    /// A password could not be hashed.
    #[error(transparent)]
    Hashing(#[from] HashingFailed),
}

/// Serves as the Lambda function until Lambda stops it.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn serve(database: PgPool, rules: PasswordRules) -> Result<(), lambda_runtime::Error> {
    let database = &database;
    Box::pin(lambda_runtime::run(service_fn(
        |event: LambdaEvent<Value>| async move {
            let result = create_users(database, rules, event.payload).await;
            match &result {
                Ok(users) => tracing::info!(users.created, users.existing, "created users"),
                Err(error) => tracing::error!(cause = %error, "no users were created"),
            }
            result.map_err(|error| Diagnostic {
                error_type: "CreateUsersError".to_owned(),
                error_message: error.to_string(),
            })
        },
    )))
    .await
}

/// Creates an account for every user in `input` who has none:
/// `{"users": [{"email": …, "password": …, "role": …}]}`, with an optional `"name"`.
///
/// # Errors
/// If any of them is invalid; then no account is created.
pub async fn create_users(
    database: &PgPool,
    rules: PasswordRules,
    input: Value,
) -> Result<CreatedUsers, CreateUsersError> {
    let users = parse(rules, input)?;
    let emails: Vec<String> = users
        .iter()
        .map(|user| user.email.as_str().to_owned())
        .collect();
    let existing: HashSet<String> = sqlx::query_scalar!(
        "SELECT email FROM auth.user_account WHERE email = ANY($1)",
        &emails
    )
    .fetch_all(database)
    .await?
    .into_iter()
    .collect();

    let all = users.len() as u64;
    let mut accounts = Vec::new();
    for user in users {
        if !existing.contains(user.email.as_str()) {
            let hash = PasswordHash::of(user.password).await?;
            accounts.push((user.email, hash, user.role, user.name));
        }
    }

    // Sorted, so that two concurrent calls wait for each other and never deadlock.
    accounts.sort_unstable_by(|(one, ..), (other, ..)| one.as_str().cmp(other.as_str()));

    let mut created = Vec::new();
    let mut transaction = Transaction::begin(database).await?;
    for (email, hash, role, name) in accounts {
        let id = Uuid::now_v7();
        let inserted = sqlx::query!(
            "INSERT INTO auth.user_account (id, email, password_hash, role, name)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT ON CONSTRAINT user_account_email_unique DO NOTHING",
            id,
            email.as_str(),
            hash.as_str(),
            role.name(),
            name.as_ref().map(Line::as_str),
        )
        .execute(&mut transaction)
        .await?;
        if inserted.rows_affected() == 1 {
            created.push(id);
        }
    }
    for id in &created {
        on_record(*id).append(&mut transaction).await?;
    }
    transaction.commit().await?;
    let created = created.len() as u64;
    Ok(CreatedUsers {
        created,
        existing: all - created,
    })
}

/// The record has no actor: whoever deploys has no account.
fn on_record(account: Uuid) -> Record<'static> {
    Record {
        id: Uuid::now_v7(),
        actor: None,
        action: Action::CreateAccount,
        outcome: Outcome::Succeeded,
        problem: None,
        subject: Subject::Account(account),
        reason: None,
        source: None,
        request_id: None,
    }
}

fn parse(rules: PasswordRules, input: Value) -> Result<Vec<NewUser>, CreateUsersError> {
    let input: CreateUsers = serde_path_to_error::deserialize(input).map_err(|error| {
        // serde's own message would repeat the value, which may be a password.
        CreateUsersError::Invalid(format!("{}: has a wrong or missing value", error.path()))
    })?;
    if input.users.len() > MAX_USERS {
        let message = format!("users: must not be more than {MAX_USERS}");
        return Err(CreateUsersError::Invalid(message));
    }
    let users = input.users.into_iter().enumerate().map(|(index, user)| {
        let invalid = |field: &str, reason: String| {
            CreateUsersError::Invalid(format!("users[{index}].{field}: {reason}"))
        };
        let email = EmailAddress::parse(&user.email)
            .map_err(|error| invalid("email", error.to_string()))?;
        let password = rules
            .read(&user.password, email.as_str())
            .map_err(|error| invalid("password", error.to_string()))?;
        let name =
            full_name(user.name.as_deref()).map_err(|error| invalid("name", error.to_string()))?;
        Ok(NewUser {
            email,
            password,
            role: user.role,
            name,
        })
    });
    users.collect()
}
