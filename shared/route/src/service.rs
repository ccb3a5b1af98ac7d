//! The table of contents of a service.

/// Lists the routes of a service, each with its handler. Defines `ROUTES`, and `Documentation`, the
/// service's part of the API document.
///
/// ```ignore
/// route::service! {
///     tags("patients" = "Patient records"),
///     create_patient::ROUTE => create_patient,
///     get_patient::ROUTE => get_patient,
/// }
/// ```
#[macro_export]
macro_rules! service {
    (
        tags($($tag:literal = $description:literal),* $(,)?),
        $($module:ident::$route:ident => $handler:ident),* $(,)?
    ) => {
        /// The routes of the service.
        pub const ROUTES: &[$crate::Row] = &[$($module::$route.row()),*];

        /// The service's part of the API document.
        #[derive(Debug, utoipa::OpenApi)]
        #[openapi(
            paths($($module::$handler),*),
            tags($((name = $tag, description = $description)),*)
        )]
        pub struct Documentation;
    };
}
