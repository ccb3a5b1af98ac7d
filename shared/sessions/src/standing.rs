//! Whether a user is still who their access token claims.

use api::Problem;
use identity::{Caller, Permission, Role};
use store::Transaction;

use crate::{NoSession, Sessions};

impl Sessions {
    /// Rejects callers who may not do this as of now, as opposed to when their token was issued:
    /// their session must be valid, and their account must be enabled and have a role with this
    /// permission. No other transaction can change the account until this one ends.
    ///
    /// For operations that grant power. Somebody who has just lost theirs could otherwise regain it
    /// with a token that the gateway still accepts.
    ///
    /// # Errors
    /// 401 if the session or the account is no longer valid, 403 if the role may not do this, 503
    /// if that cannot be determined.
    pub async fn must_still(
        &self,
        transaction: &mut Transaction,
        caller: Caller,
        permission: Permission,
    ) -> Result<(), Problem> {
        let session = caller.session()?;
        // The account first: whoever changes it ends the sessions before committing.
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
