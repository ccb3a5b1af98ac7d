//! `GET /api/accounts/{id}`: one account.

use api::{
    EntityTag, PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use identity::Permission;
use route::Route;
use sqlx::PgPool;

use super::account::{Account, AccountRow, not_found};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/accounts/{id}")
    .function("get-account")
    .requires(Permission::ReadAccounts)
    .records(Action::ReadAccounts)
    .about(About::AccountInPath);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(get_account, database.clone(), database)
}

/// Get an account
///
/// Its owner, their role, and whether it is disabled.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "accounts",
    params(("id" = uuid::Uuid, Path, description = "The account's id")),
    responses(
        (status = 200, description = "The account", body = Account,
         headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = 400, description = "The id is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_account(
    State(database): State<PgPool>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<(EntityTag, Json<Account>), Problem> {
    let account = sqlx::query_as!(
        AccountRow,
        r#"SELECT id, version, email, name, role, disabled,
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
