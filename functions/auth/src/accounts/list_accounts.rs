//! `GET /api/accounts`: all accounts, oldest first, a page at a time.

use api::{
    Cursor, Id, Limit, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use identity::Permission;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::account::{Account, AccountRow};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/accounts")
    .function("list-accounts")
    .requires(Permission::ReadAccounts)
    .records(Action::ReadAccounts);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_accounts, database.clone(), database)
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Id>>,
    /// The number of accounts per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// A page of accounts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountList {
    accounts: Vec<Account>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List accounts
///
/// All accounts with their roles, oldest first.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "accounts",
    params(Page),
    responses(
        (status = 200, description = "A page of accounts", body = AccountList),
        (status = 400, description = "The cursor or the limit is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_accounts(
    State(database): State<PgPool>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<AccountList>, Problem> {
    let after = page.cursor.map_or(Uuid::nil(), |Cursor(Id(id))| id);
    let rows = sqlx::query_as!(
        AccountRow,
        r#"SELECT id, version, email, name, role, disabled,
                  password_hash IS NOT NULL AS "has_password!", created_at, updated_at
           FROM auth.user_account
           WHERE id > $1
           ORDER BY id
           LIMIT $2"#,
        after,
        page.limit.and_one_more(),
    )
    .fetch_all(&database)
    .await?;

    let accounts: Result<Vec<_>, _> = rows.into_iter().map(AccountRow::read).collect();
    let mut accounts = accounts?;
    let next_cursor = page.limit.cut(&mut accounts, |last| Id(last.id));

    trail.succeeded(&database, Subject::Nobody).await?;
    Ok(Json(AccountList {
        accounts,
        next_cursor,
    }))
}
