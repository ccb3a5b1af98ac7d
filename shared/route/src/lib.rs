//! What a route is, said once.
//!
//! A [`Route`] stands as a constant beside its handler. All else that has to know of it is made
//! from that: the layers that it is served within, the permission that it checks, what it leaves
//! in the audit trail, and, by `make generate`, the API's methods and the function in
//! `template.yaml`, the function's program, its sample event, the API's document, and the
//! [`table`] that the authorizer makes its policies from.
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
//! A handler that asks for what its route does not have does not compile. Here it wants to write
//! to the audit trail, and the route leaves nothing there:
//!
//! ```compile_fail,E0277
//! use audit_trail::Trail;
//! use route::Route;
//!
//! async fn check_health(trail: Trail) {}
//! Route::get("/health").function("health").served_by(check_health, ());
//! ```
//!
//! Here it wants to know who calls, and anybody may:
//!
//! ```compile_fail,E0277
//! use identity::Caller;
//! use route::Route;
//!
//! async fn check_health(caller: Caller) {}
//! Route::get("/health").function("health").served_by(check_health, ());
//! ```
//!
//! The same route, with a handler that takes what there is:
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
