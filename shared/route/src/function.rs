//! From the routes of a function to its program.

use axum::Router;
use store::FromEnvironment;

/// What makes the routes of a function out of what they use: a function of up to three things,
/// each of which the deployment says where to find.
pub trait Build<Uses> {
    /// The routes of the Lambda function of this name.
    ///
    /// # Errors
    /// If the deployment does not say where something is.
    fn build(self, function: &'static str) -> Result<Router, api::Error>;
}

impl<F: FnOnce() -> Router> Build<()> for F {
    fn build(self, _: &'static str) -> Result<Router, api::Error> {
        Ok(self())
    }
}

impl<F: FnOnce(A) -> Router, A: FromEnvironment> Build<(A,)> for F {
    fn build(self, function: &'static str) -> Result<Router, api::Error> {
        Ok(self(A::from_environment(function)?))
    }
}

impl<F, A, B> Build<(A, B)> for F
where
    F: FnOnce(A, B) -> Router,
    A: FromEnvironment,
    B: FromEnvironment,
{
    fn build(self, function: &'static str) -> Result<Router, api::Error> {
        Ok(self(
            A::from_environment(function)?,
            B::from_environment(function)?,
        ))
    }
}

impl<F, A, B, C> Build<(A, B, C)> for F
where
    F: FnOnce(A, B, C) -> Router,
    A: FromEnvironment,
    B: FromEnvironment,
    C: FromEnvironment,
{
    fn build(self, function: &'static str) -> Result<Router, api::Error> {
        Ok(self(
            A::from_environment(function)?,
            B::from_environment(function)?,
            C::from_environment(function)?,
        ))
    }
}

/// Serves these routes as the Lambda function of this name, until Lambda stops it.
///
/// # Errors
/// If the deployment lacks a setting, or the Lambda runtime API cannot be reached.
pub async fn serve<Uses>(
    function: &'static str,
    routes: impl Build<Uses>,
) -> Result<(), api::Error> {
    api::serve(function, routes.build(function)?).await
}
