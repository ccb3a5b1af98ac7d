//! `POST /api/accounts`: creates an account and sends its owner a one-time token to choose a
//! password with.

use std::sync::Arc;

use api::{
    EntityTag, Input, InputErrors, OnConstraint as _, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use fields::{EmailAddress, Line};
use http::{StatusCode, header};
use identity::{Caller, Permission, Role};
use route::Route;
use serde::Deserialize;
use sessions::Sessions;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::account::{Account, AccountRow, full_name};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::post("/api/accounts")
    .function("create-account")
    .requires(Permission::ManageAccounts)
    .records(Action::CreateAccount);

/// Serves the route.
pub fn routes(database: PgPool, sessions: Sessions) -> Router {
    ROUTE.served_by(
        create_account,
        (database.clone(), Arc::new(sessions)),
        database,
    )
}

/// The new account. Clients cannot set anything else about it: any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "email": "zoe@clinic.example", "name": "Zoe Kiefer", "role": "CLINICIAN" }))]
pub(crate) struct NewAccount {
    /// E-mail address, unique among all accounts.
    #[serde(default)]
    #[schema(required = true, format = Email, max_length = 254)]
    email: String,
    /// Full name, at most 100 characters, shown instead of the id wherever the user's actions are
    /// listed.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// The user's role, which determines their permissions.
    role: Role,
}

/// Create an account
///
/// The new user gets a message with a one-time token within a minute or two, and chooses their
/// password with `POST /auth/set-password`.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "accounts",
    request_body = NewAccount,
    responses(
        (status = 201, description = "The account is created", body = Account,
         headers(("ETag" = String, description = "The version, for If-Match"),
                 ("Location" = String, description = "Where the account is"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Another account has the e-mail address", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_account(
    caller: Caller,
    State((database, sessions)): State<(PgPool, Arc<Sessions>)>,
    trail: Trail,
    Input(input): Input<NewAccount>,
) -> Result<
    (
        StatusCode,
        [(header::HeaderName, String); 1],
        EntityTag,
        Json<Account>,
    ),
    Problem,
> {
    let mut errors = InputErrors::default();
    let email = errors.field("email", EmailAddress::parse(&input.email));
    let name = errors.field("name", full_name(input.name.as_deref()));
    let (Some(email), Some(name)) = (email, name) else {
        return Err(errors.into_problem());
    };

    let mut transaction = Transaction::begin(&database).await?;
    sessions
        .must_still(&mut transaction, caller, Permission::ManageAccounts)
        .await?;
    let account = sqlx::query_as!(
        AccountRow,
        r#"INSERT INTO auth.user_account (id, email, name, role)
           VALUES ($1, $2, $3, $4)
           RETURNING id, version, email, name, role, disabled,
                     password_hash IS NOT NULL AS "has_password!", created_at, updated_at"#,
        Uuid::now_v7(),
        email.as_str(),
        name.as_ref().map(Line::as_str),
        input.role.name(),
    )
    .fetch_one(&mut transaction)
    .await
    .on_constraint("user_account_email_unique", || {
        Problem::conflict("email", "Email address already exists")
    })?;
    sqlx::query!(
        "INSERT INTO auth.account_message (id, email, kind) VALUES ($1, $2, 'INVITATION')
         ON CONFLICT ON CONSTRAINT account_message_once DO NOTHING",
        Uuid::now_v7(),
        email.as_str(),
    )
    .execute(&mut transaction)
    .await?;
    trail
        .succeeded(&mut transaction, Subject::Account(account.id))
        .await?;
    transaction.commit().await?;

    let account = account.read()?;
    tracing::info!(userId = %account.id, role = %account.role, by = %caller.user, "created an account");
    // Relative to the request's own URL, so that it is correct behind any stage or domain.
    let location = [(header::LOCATION, format!("accounts/{}", account.id))];
    Ok((
        StatusCode::CREATED,
        location,
        account.entity_tag(),
        Json(account),
    ))
}
