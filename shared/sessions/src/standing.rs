//! Whether somebody is still who their access token says.

use api::Problem;
use identity::{Caller, Permission, Role};
use store::Transaction;

use crate::{NoSession, Sessions};

impl Sessions {
    /// Lets callers on who may do this as things are now, and not only when their token was
    /// given out: their session goes on, and their account, which no other transaction is
    /// changing until this one ends, is in use and has a role with this permission.
    ///
    /// For what grants power. Whoever has lost theirs could give it back to themselves with a
    /// token that the gateway still takes.
    ///
    /// # Errors
    /// 401 if the session or the account is over, 403 if the role may not do this; 503 if
    /// nobody can tell.
    pub async fn must_still(
        &self,
        transaction: &mut Transaction,
        caller: Caller,
        permission: Permission,
    ) -> Result<(), Problem> {
        let session = caller.session()?;
        // First the account: who changes it ends the sessions before it is done.
        let role: Option<String> = sqlx::query_scalar("SELECT auth.role_now($1)")
            .bind(caller.user)
            .fetch_one(transaction)
            .await?;
        self.check(session, caller.user).await??;
        let Some(role) = role else {
            return Err(NoSession::AllRevoked.into());
        };
        let role: Role = role.parse().map_err(Problem::internal)?;
        Caller { role, ..caller }.must(permission)
    }
}
