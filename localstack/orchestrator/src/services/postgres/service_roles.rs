//! The roles that the services log in to the database with. The function `provision` makes them.

use anyhow::{Context as _, Result};

use crate::files;
use crate::fingerprint::Fingerprint;
use crate::settings::Settings;

/// How a parameter of the template is called that has the password of a service's role.
const PASSWORD_PARAMETER: &str = "DatabasePassword";

/// How much of the stack's name is in the roles': with the rest, not more than the 40 characters
/// that the template allows.
const NAME: usize = 23;

/// Where the services find the database, and who they are there.
pub struct ServiceRoles {
    /// What stands behind the user in a URL: host, port, database and options.
    pub address: String,
    /// How the names of the roles begin.
    pub prefix: String,
}

impl ServiceRoles {
    /// For the database that is at this URL for its owner.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(settings: &Settings, owner_url: &str) -> Result<Self> {
        let (_, rest) = owner_url
            .split_once("://")
            .context("DATABASE_URL is not a URL")?;
        // Neither a path nor a query may have a plain @ in front of the host.
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(end);
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let (path, query) = path_and_query
            .split_once('?')
            .unwrap_or((path_and_query, ""));
        let query: Vec<&str> = query
            .split('&')
            .filter(|pair| {
                let name = pair.split('=').next().unwrap_or_default();
                !matches!(name, "" | "user" | "password")
            })
            .collect();
        let query = if query.is_empty() {
            String::new()
        } else {
            format!("?{}", query.join("&"))
        };
        Ok(Self {
            address: format!("{host}{path}{query}"),
            prefix: prefix(&settings.stack_name, path),
        })
    }

    /// How a service logs in, as the template says it to functions.
    ///
    /// # Errors
    /// If the password cannot be read or made.
    pub fn url(&self, settings: &Settings, service: &str) -> Result<String> {
        let Self { address, prefix } = self;
        let password = password(settings, service)?;
        let role = service.replace('-', "_");
        Ok(format!("postgres://{prefix}_{role}:{password}@{address}"))
    }
}

/// The password that the template asks for, if this is such a parameter.
///
/// # Errors
/// If the password cannot be read or made.
pub fn password_of_parameter(settings: &Settings, parameter: &str) -> Result<Option<String>> {
    let Some(service) = parameter.strip_suffix(PASSWORD_PARAMETER) else {
        return Ok(None);
    };
    let mut name = String::new();
    for character in service.chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(character.to_ascii_lowercase());
    }
    password(settings, &name).map(Some)
}

fn password(settings: &Settings, service: &str) -> Result<String> {
    files::secret(&settings.secret(&format!("{service}-database-password")))
}

/// Another one for every stack and every database: roles belong to the whole server, which
/// may be the user's own and have several stacks.
fn prefix(stack_name: &str, database: &str) -> String {
    let readable: String = stack_name
        .chars()
        .take(NAME)
        .map(|character| match character {
            'a'..='z' | '0'..='9' => character,
            'A'..='Z' => character.to_ascii_lowercase(),
            _ => '_',
        })
        .collect();
    let unique = Fingerprint::default().with(stack_name).with(database);
    format!("{readable}_{}", unique.finish())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(directory: &Path) -> Settings {
        Settings {
            repository: directory.to_owned(),
            directory: directory.to_owned(),
            cache: directory.to_owned(),
            stack_name: "clinic".to_owned(),
            free_ports: false,
            ports: std::collections::BTreeMap::new(),
            allowed_origins: String::new(),
            profile: "dev".to_owned(),
            python: None,
            java: None,
            database_url: None,
            kafka_bootstrap_servers: None,
            localstack_endpoint: None,
            log_level: "info".to_owned(),
        }
    }

    #[test]
    fn everything_but_the_role_is_as_for_the_owner() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        for (owner, address) in [
            (
                "postgres://me:secret@db.example:6000/patients?sslmode=require",
                "db.example:6000/patients?sslmode=require",
            ),
            ("postgresql://db.example/patients", "db.example/patients"),
            (
                "postgres://me:p@ss@[::1]/patients?user=me&sslmode=allow&password=secret",
                "[::1]/patients?sslmode=allow",
            ),
            (
                "postgres://db.example/patients?user=me&password=secret",
                "db.example/patients",
            ),
        ] {
            let roles = ServiceRoles::new(&settings, owner).unwrap();
            assert_eq!(roles.address, address, "{owner}");
            assert_eq!(roles.prefix, prefix("clinic", "/patients"), "{owner}");
        }
        assert!(ServiceRoles::new(&settings, "patients").is_err());
    }

    #[test]
    fn each_service_logs_in_with_the_password_that_the_template_gets_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let roles = ServiceRoles::new(&settings, "postgres://me@db.example/patients").unwrap();
        let prefix = &roles.prefix;
        let password = |parameter| password_of_parameter(&settings, parameter).unwrap();
        let billing = password("BillingDatabasePassword").unwrap();
        assert_eq!(
            roles.url(&settings, "billing").unwrap(),
            format!("postgres://{prefix}_billing:{billing}@db.example/patients")
        );
        let records = password("OldRecordsDatabasePassword").unwrap();
        assert_ne!(billing, records);
        assert_eq!(
            roles.url(&settings, "old-records").unwrap(),
            format!("postgres://{prefix}_old_records:{records}@db.example/patients")
        );
        assert_eq!(password("BillingToken"), None);
    }

    #[test]
    fn no_two_stacks_and_no_two_databases_have_the_same_roles() {
        let one = prefix("patient-management", "/patients");
        assert!(one.starts_with("patient_management_"), "{one}");
        for other in [
            prefix("patient-management", "/clinic"),
            prefix("patient_management", "/patients"),
            prefix("Patient-management", "/patients"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_prefix_is_one_that_the_template_allows() {
        let one = prefix(&format!("{}1", "A-b".repeat(42)), "/patients");
        let other = prefix(&format!("{}2", "A-b".repeat(42)), "/patients");
        assert_ne!(one, other);
        assert!(one.len() <= 40, "{one}");
        assert!(
            one.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
            "{one}"
        );
    }
}
