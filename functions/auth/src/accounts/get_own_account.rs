//! `GET /api/me`: the caller's own account and permissions.

use api::{
    Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use identity::{Caller, Permission, Role};
use route::Route;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::account::{AccountRow, not_found};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/me")
    .function("get-own-account")
    .requires(Permission::ReadOwnAccount)
    .records(Action::ReadAccounts);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(get_own_account, database.clone(), database)
}

/// The caller's account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "email": "zoe@clinic.example",
    "name": "Zoe Kiefer",
    "role": "AUDITOR",
    "permissions": ["END_OWN_SESSIONS", "READ_OWN_ACCOUNT", "LIST_PATIENTS", "READ_AUDIT_TRAIL"]
}))]
pub(crate) struct OwnAccount {
    /// The account's id; the `actorId` of the caller's audit records.
    id: Uuid,
    /// The address that the user logs in with.
    email: String,
    /// Full name, if an administrator has entered one.
    #[schema(required)]
    name: Option<String>,
    /// The user's role.
    role: Role,
    /// The permissions of this role, so that a front end can show what the user may do.
    permissions: Vec<Permission>,
}

/// Get your own account
///
/// The caller's account, role and permissions. The role is the account's current one: an access
/// token that was issued before a change has the old role until the next refresh.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "accounts",
    responses(
        (status = 200, description = "Your account", body = OwnAccount),
        (status = 404, description = "The account is gone", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_own_account(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
) -> Result<Json<OwnAccount>, Problem> {
    let account = sqlx::query_as!(
        AccountRow,
        r#"SELECT id, version, email, name, role, disabled,
                  password_hash IS NOT NULL AS "has_password!", created_at, updated_at
           FROM auth.user_account
           WHERE id = $1"#,
        caller.user,
    )
    .fetch_optional(&database)
    .await?
    .ok_or_else(not_found)?
    .read()?;
    trail
        .succeeded(&database, Subject::Account(account.id))
        .await?;
    Ok(Json(OwnAccount {
        id: account.id,
        email: account.email,
        name: account.name,
        role: account.role,
        permissions: account.role.permissions().to_vec(),
    }))
}
