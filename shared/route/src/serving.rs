//! From a route and its handler to a router within all layers of the route.

use api::{
    Problem, Within,
    layers::{ByService, Recorded, Repeatable, Unrecorded},
};
use axum::{
    Router,
    extract::{Request, State},
    handler::Handler,
    middleware::{self, Next},
    response::Response,
    routing::{MethodFilter, on},
};
use identity::{Caller, Permission};
use sqlx::PgPool;

use crate::{Method, Route};

impl<A: 'static, I: 'static> Route<A, Recorded, I> {
    /// Serves the route with this handler, which gets `state` as [`api::State`]. Records go to this
    /// database.
    pub fn served_by<H, T, S>(self, handler: H, state: S, database: PgPool) -> Router
    where
        H: Handler<T, Within<S, (A, Recorded, I)>>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        let mut routes = self.router(handler, state);
        if let Some(schema) = self.schema {
            routes = idempotency::layer(database.clone(), schema, routes);
        }
        self.on_record(database, self.permitted(routes))
    }
}

impl<A: 'static> Route<A, ByService, ByService> {
    /// Serves the route with this handler, which gets `state` as [`api::State`]. What it refuses is
    /// recorded in this database; what it has done was recorded by the service that did it.
    pub fn served_by<H, T, S>(self, handler: H, state: S, database: PgPool) -> Router
    where
        H: Handler<T, Within<S, (A, ByService, ByService)>>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        self.on_record(database, self.permitted(self.router(handler, state)))
    }
}

impl<A: 'static> Route<A, Unrecorded, Repeatable> {
    /// Serves the route with this handler, which gets `state` as [`api::State`].
    pub fn served_by<H, T, S>(self, handler: H, state: S) -> Router
    where
        H: Handler<T, Within<S, (A, Unrecorded, Repeatable)>>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        self.permitted(self.router(handler, state))
    }
}

impl<A: 'static, R: 'static, I: 'static> Route<A, R, I> {
    fn router<H, T, S>(self, handler: H, state: S) -> Router
    where
        H: Handler<T, Within<S, (A, R, I)>>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        Router::new()
            .route(
                &axum_path(self.row.path),
                on(filter(self.row.method), handler),
            )
            .with_state(Within::new(state))
    }

    /// Adds the audit trail, if the route has an action.
    fn on_record(self, database: PgPool, routes: Router) -> Router {
        match self.row.action {
            Some(action) => audit_trail::layer(database, action, self.row.about, routes),
            None => routes,
        }
    }

    /// Adds the permission check, if the route requires one.
    fn permitted(self, routes: Router) -> Router {
        match self.row.permission {
            Some(permission) => {
                routes.route_layer(middleware::from_fn_with_state(permission, permit))
            }
            None => routes,
        }
    }
}

async fn permit(
    State(permission): State<Permission>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    Caller::of(request.extensions())?.must(permission)?;
    Ok(next.run(request).await)
}

const fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    }
}

/// The gateway's `{file+}` is `{*file}` here.
fn axum_path(path: &str) -> String {
    match path.rsplit_once('{') {
        Some((before, name)) if name.ends_with("+}") => {
            format!("{before}{{*{}}}", name.trim_end_matches("+}"))
        }
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::StatusCode;
    use identity::{Role, testing::as_caller};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_caller_without_the_permission_is_rejected_before_the_handler_runs() {
        let routes = Route::get("/things/{id}")
            .function("get-thing")
            .requires(Permission::ReadAuditTrail)
            .served_by(async || "the thing", ());
        let request = || Request::get("/things/7").body(Body::empty()).unwrap();
        for (request, status) in [
            (request(), StatusCode::UNAUTHORIZED),
            (as_caller(request(), Role::Clinician), StatusCode::FORBIDDEN),
            (as_caller(request(), Role::Auditor), StatusCode::OK),
        ] {
            let answer = routes.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status);
        }
    }

    #[tokio::test]
    async fn a_parameter_may_span_the_whole_rest_of_the_path() {
        let routes = Route::get("/files/{file+}")
            .function("get-file")
            .served_by(async |path: axum::extract::Path<String>| path.0, ());
        let request = Request::get("/files/a/b.js").body(Body::empty()).unwrap();
        let answer = routes.oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(body, "a/b.js");
    }
}
