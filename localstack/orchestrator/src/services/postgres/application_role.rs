//! The role that the functions and the billing service log in to the database with. The
//! function `provision` makes it.

use anyhow::{Context as _, Result};

use crate::files;
use crate::fingerprint::Fingerprint;
use crate::settings::Settings;

/// How much of the stack's name is in the role's: with the rest, not more than the 63
/// bytes that PostgreSQL keeps of a name.
const NAME: usize = 34;

/// Where the functions find the database that is at this URL for its owner.
///
/// # Errors
/// If the role's password cannot be read or made, or the URL is none.
pub fn url(settings: &Settings, owner_url: &str) -> Result<String> {
    let (scheme, rest) = owner_url
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
    Ok(format!(
        "{scheme}://{}:{}@{host}{path}{query}",
        name(&settings.stack_name, path),
        files::secret(&settings.secret("application-database-password"))?,
    ))
}

/// Another one for every stack and every database: roles belong to the whole server, which
/// may be the user's own and have several stacks.
fn name(stack_name: &str, database: &str) -> String {
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
    format!("application_{readable}_{}", unique.finish())
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
        let password = files::secret(&settings.secret("application-database-password")).unwrap();
        for (owner, before, after) in [
            (
                "postgres://me:secret@db.example:6000/patients?sslmode=require",
                "postgres://",
                "@db.example:6000/patients?sslmode=require",
            ),
            (
                "postgresql://db.example/patients",
                "postgresql://",
                "@db.example/patients",
            ),
            (
                "postgres://me:p@ss@[::1]/patients?user=me&sslmode=allow&password=secret",
                "postgres://",
                "@[::1]/patients?sslmode=allow",
            ),
            (
                "postgres://db.example/patients?user=me&password=secret",
                "postgres://",
                "@db.example/patients",
            ),
        ] {
            let role = name("clinic", "/patients");
            assert_eq!(
                url(&settings, owner).unwrap(),
                format!("{before}{role}:{password}{after}"),
                "{owner}"
            );
        }
        assert!(url(&settings, "patients").is_err());
    }

    #[test]
    fn no_two_stacks_and_no_two_databases_have_the_same_role() {
        let role = name("patient-management", "/patients");
        assert!(
            role.starts_with("application_patient_management_"),
            "{role}"
        );
        for other in [
            name("patient-management", "/clinic"),
            name("patient_management", "/patients"),
            name("Patient-management", "/patients"),
        ] {
            assert_ne!(role, other);
        }
    }

    #[test]
    fn a_role_has_a_name_that_needs_no_quotes_and_is_not_cut_off() {
        let one = name(&format!("{}1", "A-b".repeat(42)), "/patients");
        let other = name(&format!("{}2", "A-b".repeat(42)), "/patients");
        assert_ne!(one, other);
        assert!(one.len() <= 63, "{one}");
        assert!(
            one.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
            "{one}"
        );
    }
}
