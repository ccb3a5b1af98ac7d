//! `GET /api/accounts/{id}`: one account.

use api::{EntityTag, PathId, Problem, ProblemDocument};
use audit_trail::{Action, Subject, Trail, layer};
use axum::{Json, Router, extract::State, routing::get};
use identity::{Caller, Permission};
use sqlx::PgPool;

use crate::account::{Account, AccountRow, not_found};

/// The route.
pub fn routes(database: PgPool) -> Router {
    let routes = Router::new()
        .route("/api/accounts/{id}", get(get_account))
        .with_state(database.clone());
    layer(database, Action::ReadAccounts, routes)
}

/// Get an account
///
/// Who it belongs to, what they may do, and whether they are kept out.
#[utoipa::path(
    get, path = "/api/accounts/{id}", tag = "accounts", operation_id = "getAccount",
    params(("id" = uuid::Uuid, Path, description = "The account's id")),
    responses(
        (status = 200, description = "The account", body = Account,
         headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = 400, description = "The id is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn get_account(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<(EntityTag, Json<Account>), Problem> {
    caller.must(Permission::ReadAccounts)?;

    let account = sqlx::query_as!(
        AccountRow,
        r#"SELECT id, version, email, role, disabled,
                  password_hash IS NOT NULL AS "has_password!", created_at, updated_at
           FROM auth.user_account
           WHERE id = $1"#,
        id,
    )
    .fetch_optional(&database)
    .await?
    .ok_or_else(not_found)?
    .read()?;
    trail.succeeded(&database, Subject::Account(id)).await?;
    Ok((account.entity_tag(), Json(account)))
}
