//! `PUT /api/accounts/{id}`: changes an account's role or name, disables or enables it.
//!
//! A change of role, or disabling, ends the user's sessions. They are ended twice: before the
//! commit, so that there is no change without it, and after it, to catch sessions that began in
//! between with the old role.

use std::sync::Arc;

use api::{
    EntityTag, IfMatch, Input, PathId, Problem, ProblemDocument, ReadOnly, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use fields::Line;
use identity::{Caller, Permission, Role};
use route::Route;
use serde::{Deserialize, Deserializer};
use sessions::Sessions;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::account::{Account, AccountRow, full_name, not_found};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::put("/api/accounts/{id}")
    .function("update-account")
    .requires(Permission::ManageAccounts)
    .records(Action::UpdateAccount)
    .about(About::AccountInPath);

/// Serves the route.
pub fn routes(database: PgPool, sessions: Sessions) -> Router {
    ROUTE.served_by(
        update_account,
        (database.clone(), Arc::new(sessions)),
        database,
    )
}

/// What an administrator can change about an account. Read-only fields, which an account that was
/// read contains, are ignored; any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "role": "AUDITOR", "disabled": false }))]
pub(crate) struct AccountChange {
    /// The user's role, which determines their permissions.
    role: Role,
    /// Whether the account is disabled.
    disabled: bool,
    /// Full name, at most 100 characters. It is unchanged if the field is missing, and removed if
    /// it is null or empty.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 100)]
    name: NewName,
    #[serde(default, rename = "id")]
    #[schema(read_only, value_type = Option<Uuid>)]
    _id: ReadOnly,
    #[serde(default, rename = "version")]
    #[schema(read_only, value_type = Option<i64>)]
    _version: ReadOnly,
    #[serde(default, rename = "email")]
    #[schema(read_only, value_type = Option<String>)]
    _email: ReadOnly,
    #[serde(default, rename = "hasPassword")]
    #[schema(read_only, value_type = Option<bool>)]
    _has_password: ReadOnly,
    #[serde(default, rename = "createdAt")]
    #[schema(read_only, value_type = Option<chrono::DateTime<chrono::Utc>>)]
    _created_at: ReadOnly,
    #[serde(default, rename = "updatedAt")]
    #[schema(read_only, value_type = Option<chrono::DateTime<chrono::Utc>>)]
    _updated_at: ReadOnly,
}

/// Distinguishes a missing name from null.
#[derive(Default)]
struct NewName {
    is_given: bool,
    name: Option<String>,
}

impl<'de> Deserialize<'de> for NewName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Option::deserialize(deserializer)?;
        Ok(Self {
            is_given: true,
            name,
        })
    }
}

/// Update an account
///
/// Changes the role and the name, disables or enables the account. If the role changes or the
/// account is disabled, the user's sessions end within 30 seconds. The last administrator who can
/// log in must remain one.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "accounts",
    params(
        ("id" = uuid::Uuid, Path, description = "The account's id"),
        IfMatch,
    ),
    request_body = AccountChange,
    responses(
        (status = 200, description = "The updated account", body = Account,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Nobody would be left to administer the system", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update_account(
    caller: Caller,
    State((database, sessions)): State<(PgPool, Arc<Sessions>)>,
    trail: Trail,
    PathId(id): PathId,
    if_match: IfMatch,
    Input(change): Input<AccountChange>,
) -> Result<(EntityTag, Json<Account>), Problem> {
    let name = full_name(change.name.name.as_deref())
        .map_err(|error| Problem::invalid_field("name", error.to_string()))?;

    let mut transaction = Transaction::begin(&database).await?;
    one_at_a_time(&mut transaction).await?;
    sessions
        .must_still(&mut transaction, caller, Permission::ManageAccounts)
        .await?;
    let before = sqlx::query_as!(
        AccountRow,
        r#"SELECT id, version, email, name, role, disabled,
                  password_hash IS NOT NULL AS "has_password!", created_at, updated_at
           FROM auth.user_account
           WHERE id = $1
           FOR UPDATE"#,
        id,
    )
    .fetch_optional(&mut transaction)
    .await?
    .ok_or_else(not_found)?
    .read()?;
    if_match.check(before.version)?;
    let stays_administrator = change.role == Role::Admin && !change.disabled;
    if before.role == Role::Admin && !before.disabled && !stays_administrator {
        another_administrator_is_left(&mut transaction, id).await?;
    }
    let account = sqlx::query_as!(
        AccountRow,
        r#"UPDATE auth.user_account
           SET role = $2, disabled = $3, name = CASE WHEN $4 THEN $5 ELSE name END, version = version + 1,
               updated_at = GREATEST(updated_at, clock_timestamp())
           WHERE id = $1
           RETURNING id, version, email, name, role, disabled,
                     password_hash IS NOT NULL AS "has_password!", created_at, updated_at"#,
        id,
        change.role.name(),
        change.disabled,
        change.name.is_given,
        name.as_ref().map(Line::as_str),
    )
    .fetch_one(&mut transaction)
    .await?
    .read()?;
    let loses_sessions = account.role != before.role || account.disabled;
    if account.disabled {
        // Tokens that were sent before must not open the account later.
        sqlx::query!("DELETE FROM auth.one_time_token WHERE user_id = $1", id)
            .execute(&mut transaction)
            .await?;
    }
    if loses_sessions {
        sessions.end_all(id).await?;
    }
    trail
        .succeeded(&mut transaction, Subject::Account(id))
        .await?;
    transaction.commit().await?;
    if loses_sessions {
        sessions.end_all(id).await?;
    }

    tracing::info!(
        userId = %id, role = %account.role, disabled = account.disabled, by = %caller.user,
        "changed an account"
    );
    Ok((account.entity_tag(), Json(account)))
}

/// Serialises changes of accounts, so that two administrators who disable each other at the same
/// time do not both succeed.
async fn one_at_a_time(transaction: &mut Transaction) -> Result<(), Problem> {
    sqlx::query!(
        r#"SELECT pg_advisory_xact_lock(hashtext('auth.update_account'))::text AS "locked""#
    )
    .fetch_one(transaction)
    .await?;
    Ok(())
}

/// 409 if no other account can log in as an administrator.
async fn another_administrator_is_left(
    transaction: &mut Transaction,
    id: Uuid,
) -> Result<(), Problem> {
    let others = sqlx::query_scalar!(
        r#"SELECT count(*) AS "others!"
           FROM auth.user_account
           WHERE role = 'ADMIN' AND NOT disabled AND password_hash IS NOT NULL AND id <> $1"#,
        id,
    )
    .fetch_one(transaction)
    .await?;
    if others == 0 {
        return Err(Problem::new(
            api::ProblemType::Conflict,
            "The last administrator must remain an administrator",
        ));
    }
    Ok(())
}
