//! What a route gives its handler, and the layers that it is behind.

use std::{convert::Infallible, fmt, marker::PhantomData};

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The state of a route: what its handler uses and, in the type, the layers that the route is
/// behind.
///
/// What only a layer can provide (the caller, the audit trail, the unit of work) can only be
/// extracted within that layer: a handler that asks for more than its route has does not compile.
pub struct Within<S, Layers> {
    state: S,
    layers: PhantomData<fn() -> Layers>,
}

impl<S, Layers> Within<S, Layers> {
    /// This state behind these layers.
    pub const fn new(state: S) -> Self {
        Self {
            state,
            layers: PhantomData,
        }
    }
}

impl<S: Clone, Layers> Clone for Within<S, Layers> {
    fn clone(&self) -> Self {
        Self::new(self.state.clone())
    }
}

impl<S: fmt::Debug, Layers> fmt::Debug for Within<S, Layers> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Within").field(&self.state).finish()
    }
}

/// What the handler of a route uses: its database, tables, and the services that it calls.
#[derive(Debug, Clone, Copy)]
pub struct State<S>(pub S);

impl<S: Clone + Send + Sync, Layers> FromRequestParts<Within<S, Layers>> for State<S> {
    type Rejection = Infallible;

    async fn from_request_parts(
        _: &mut Parts,
        within: &Within<S, Layers>,
    ) -> Result<Self, Infallible> {
        Ok(Self(within.state.clone()))
    }
}

/// The layers that a route can be behind: one of the first two, one of the next two, and one of the
/// two after them; or [`ByService`](layers::ByService) in place of each of the last four.
pub mod layers {
    /// Anybody may call the route.
    #[derive(Debug, Clone, Copy)]
    pub enum Open {}

    /// The authorizer only lets callers with a permission through.
    #[derive(Debug, Clone, Copy)]
    pub enum Permitted {}

    /// The route leaves no records in the audit trail.
    #[derive(Debug, Clone, Copy)]
    pub enum Unrecorded {}

    /// The route returns nothing that is not in the audit trail.
    #[derive(Debug, Clone, Copy)]
    pub enum Recorded {}

    /// A repeated request is a new one.
    #[derive(Debug, Clone, Copy)]
    pub enum Repeatable {}

    /// A request that is repeated with its `Idempotency-Key` has one effect and one response.
    #[derive(Debug, Clone, Copy)]
    pub enum Once {}

    /// A service that the route calls carries the change out. It writes the record in the
    /// transaction of the change, and answers a repeated request as it did the first time. What is
    /// refused is recorded here.
    #[derive(Debug, Clone, Copy)]
    pub enum ByService {}
}
