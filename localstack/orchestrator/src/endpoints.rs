//! Where the parts of a stack are.

use crate::services::postgres::service_roles::ServiceRoles;

/// Where the parts of the stack are, whoever started them.
pub struct Endpoints {
    /// The database, as the role that owns it, with its password.
    pub database_url: String,
    /// The same database for the services.
    pub service_roles: ServiceRoles,
    /// The brokers, separated by commas.
    pub kafka_bootstrap_servers: String,
    /// The gRPC service.
    pub billing_url: String,
    /// The token that it wants.
    pub billing_token: String,
    /// AWS.
    pub localstack_url: String,
}

/// The `host:port` of a URL; `None` if it has no host.
#[must_use]
pub fn host_and_port(url: &str, default_port: u16) -> Option<String> {
    let url: ureq::http::Uri = url.parse().ok()?;
    url.scheme()?;
    Some(format!(
        "{}:{}",
        url.host()?,
        url.port_u16().unwrap_or(default_port)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_is_checked_at_its_host_and_port() {
        let address = |url| host_and_port(url, 5432);
        assert_eq!(
            address("postgres://me:secret@db.example:6000/patients?sslmode=require").as_deref(),
            Some("db.example:6000")
        );
        assert_eq!(
            address("postgresql://db.example/patients").as_deref(),
            Some("db.example:5432")
        );
        assert_eq!(address("patients"), None);
    }
}
