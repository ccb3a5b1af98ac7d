//! What a route is, declared once.
//!
//! A [`Route`] is a constant beside its handler. Everything else that depends on it is derived from
//! that: the layers that serve it, the permission that it checks, the records that it leaves in the
//! audit trail and, by `make generate`, the API's methods and the function in `template.yaml`, the
//! function's binary, its sample event, the API document, and the [`table`] from which the
//! authorizer builds its policies.
//!
//! ```
//! use api::{Problem, State, layers::{Permitted, Recorded, Repeatable}};
//! use audit_trail::{About, Action, Subject, Trail};
//! use axum::Router;
//! use identity::{Caller, Permission};
//! use route::Route;
//! use sqlx::PgPool;
//!
//! pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/patients/{id}")
//!     .function("get-patient")
//!     .requires(Permission::ReadPatient)
//!     .records(Action::ReadPatient)
//!     .about(About::PatientInPath);
//!
//! pub fn routes(database: PgPool) -> Router {
//!     ROUTE.served_by(get_patient, database.clone(), database)
//! }
//!
//! async fn get_patient(
//!     caller: Caller,
//!     State(database): State<PgPool>,
//!     trail: Trail,
//! ) -> Result<(), Problem> {
//!     trail.succeeded(&database, Subject::Account(caller.user)).await?;
//!     Ok(())
//! }
//! ```
//!
//! A handler that asks for what its route does not have does not compile. This one wants to write
//! to the audit trail, but its route leaves no records:
//!
//! ```compile_fail,E0277
//! use audit_trail::Trail;
//! use route::Route;
//!
//! async fn check_health(trail: Trail) {}
//! Route::get("/health").function("health").served_by(check_health, ());
//! ```
//!
//! This one wants to know the caller, but anybody may call its route:
//!
//! ```compile_fail,E0277
//! use identity::Caller;
//! use route::Route;
//!
//! async fn check_health(caller: Caller) {}
//! Route::get("/health").function("health").served_by(check_health, ());
//! ```
//!
//! This one would have a service change something, but its route does not say that the service
//! records it:
//!
//! ```compile_fail,E0277
//! use api::layers::{Permitted, Recorded, Repeatable};
//! use audit_trail::{Action, Errand};
//! use identity::Permission;
//! use route::Route;
//!
//! const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::post("/api/invoices/{id}/issue")
//!     .function("issue-invoice")
//!     .requires(Permission::ManageInvoices)
//!     .records(Action::IssueInvoice);
//! async fn issue_invoice(errand: Errand) {}
//! fn routes(database: sqlx::PgPool) -> axum::Router {
//!     ROUTE.served_by(issue_invoice, (), database)
//! }
//! ```
//!
//! With a route that says so, it compiles:
//!
//! ```
//! use api::layers::{ByService, Permitted};
//! use audit_trail::{Action, Errand};
//! use axum::response::Response;
//! use identity::Permission;
//! use route::Route;
//!
//! const ROUTE: Route<Permitted, ByService, ByService> = Route::post("/api/invoices/{id}/issue")
//!     .function("issue-invoice")
//!     .requires(Permission::ManageInvoices)
//!     .carried_out_by_service(Action::IssueInvoice);
//! async fn issue_invoice(errand: Errand) -> Response {
//!     errand.done(false, ())
//! }
//! fn routes(database: sqlx::PgPool) -> axum::Router {
//!     ROUTE.served_by(issue_invoice, (), database)
//! }
//! ```
//!
//! A route like those above, with a handler that compiles:
//!
//! ```
//! use route::Route;
//!
//! async fn check_health() {}
//! Route::get("/health").function("health").served_by(check_health, ());
//! ```

mod declaration;
mod function;
mod service;
mod serving;
mod table;

pub use declaration::{Method, Route, Row};
pub use function::{Build, serve};
pub use table::table;
