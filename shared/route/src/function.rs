//! From the routes of a function to its binary.

use axum::Router;
use store::FromEnvironment;

/// Builds the routes of a function from up to three things that they use, each of which is found
/// with the settings of the deployment.
pub trait Build<Uses> {
    /// Whether one of them leaves work behind, which is done after the response.
    const LEAVES_WORK: bool;

    /// The routes of the Lambda function of this name.
    ///
    /// # Errors
    /// If a setting is missing or cannot be used.
    fn build(self, function: &'static str) -> Result<Router, api::Error>;
}

impl<F: FnOnce() -> Router> Build<()> for F {
    const LEAVES_WORK: bool = false;

    fn build(self, _: &'static str) -> Result<Router, api::Error> {
        Ok(self())
    }
}

impl<F: FnOnce(A) -> Router, A: FromEnvironment> Build<(A,)> for F {
    const LEAVES_WORK: bool = A::LEAVES_WORK;

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
    const LEAVES_WORK: bool = A::LEAVES_WORK || B::LEAVES_WORK;

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
    const LEAVES_WORK: bool = A::LEAVES_WORK || B::LEAVES_WORK || C::LEAVES_WORK;

    fn build(self, function: &'static str) -> Result<Router, api::Error> {
        Ok(self(
            A::from_environment(function)?,
            B::from_environment(function)?,
            C::from_environment(function)?,
        ))
    }
}

/// Serves these routes as the Lambda function of this name until Lambda stops it.
///
/// # Errors
/// If a setting is missing or cannot be used, or the Lambda runtime API cannot be reached.
pub async fn serve<Uses, Routes: Build<Uses>>(
    function: &'static str,
    routes: Routes,
) -> Result<(), api::Error> {
    let built = routes.build(function)?;
    // Only those contain an extension, and spend a round trip at their start to register it.
    if Routes::LEAVES_WORK {
        api::serve_and_work_after(function, built).await
    } else {
        api::serve(function, built).await
    }
}
