//! What can be set from outside, all of it by environment variables and all optional.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::service::Service;

/// One environment variable, for the help text and the documentation.
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// What it sets.
    pub meaning: &'static str,
}

/// All settings.
pub const SETTINGS: &[Setting] = &[
    setting(
        "STACK_DIR",
        "<repository>/.local",
        "data, logs and state of the stack",
    ),
    setting(
        "STACK_CACHE_DIR",
        "${XDG_CACHE_HOME:-~/.cache}/patient-management",
        "installed tools, shared by all stacks",
    ),
    setting(
        "STACK_NAME",
        "patient-management",
        "name of the CloudFormation stack",
    ),
    setting(
        "STACK_PORTS",
        "fixed",
        "`auto` takes free ports and remembers them in STACK_DIR",
    ),
    setting("STACK_LOCALSTACK_PORT", "4566", "port of LocalStack"),
    setting("STACK_POSTGRES_PORT", "5432", "port of PostgreSQL"),
    setting("STACK_KAFKA_PORT", "9092", "port of the Kafka broker"),
    setting("STACK_BILLING_PORT", "9001", "port of the billing service"),
    setting("STACK_DYNAMODB_PORT", "8000", "port of the DynamoDB server"),
    setting(
        "STACK_ALLOWED_ORIGINS",
        "localhost and 127.0.0.1, ports 3000, 4200, 5173, 8080",
        "the origins whose pages may call the API, separated by commas",
    ),
    setting(
        "STACK_PROFILE",
        "dev",
        "cargo profile of the functions and the billing service",
    ),
    setting(
        "STACK_PYTHON",
        "python3.11 … python3.13, python3",
        "the Python that the tools are installed for",
    ),
    setting(
        "STACK_JAVA",
        "java, else one that is installed",
        "the Java that runs Kafka, 17 or later",
    ),
    setting(
        "DATABASE_URL",
        "none",
        "use this PostgreSQL instead of starting one, as a role that may create roles",
    ),
    setting(
        "KAFKA_BOOTSTRAP_SERVERS",
        "none",
        "use this Kafka instead of starting one",
    ),
    setting(
        "LOCALSTACK_ENDPOINT",
        "none",
        "use this LocalStack instead of starting one",
    ),
    setting(
        "LOG_LEVEL",
        "info",
        "log level of the functions and the billing service",
    ),
];

/// Where the development servers of front ends listen: of Next.js and React, of Angular, of
/// Vite, of Vue.
fn local_origins() -> String {
    let hosts = ["localhost", "127.0.0.1"].into_iter();
    let origins =
        hosts.flat_map(|host| [3000, 4200, 5173, 8080].map(|port| format!("http://{host}:{port}")));
    origins.collect::<Vec<_>>().join(",")
}

const fn setting(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting {
        name,
        default,
        meaning,
    }
}

/// The settings of one run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder with `Cargo.toml` and `template.yaml`.
    pub repository: PathBuf,
    /// Everything that belongs to this stack alone.
    pub directory: PathBuf,
    /// Everything that all stacks share.
    pub cache: PathBuf,
    /// The name of the `CloudFormation` stack.
    pub stack_name: String,
    /// Whether to look for free ports.
    pub free_ports: bool,
    /// The ports that were set by name.
    pub ports: BTreeMap<Service, u16>,
    /// The origins of pages that may call the API, separated by commas.
    pub allowed_origins: String,
    /// The cargo profile of everything that is deployed.
    pub profile: String,
    /// The Python to use, where the user has chosen one.
    pub python: Option<PathBuf>,
    /// The Java to use, where the user has chosen one.
    pub java: Option<PathBuf>,
    /// A database of the user's own.
    pub database_url: Option<String>,
    /// Kafka brokers of the user's own.
    pub kafka_bootstrap_servers: Option<String>,
    /// A LocalStack of the user's own.
    pub localstack_endpoint: Option<String>,
    /// How much the functions and the billing service log.
    pub log_level: String,
}

impl Settings {
    /// Reads the settings of this process.
    ///
    /// # Errors
    /// If a setting has a value that makes no sense; the message says which.
    pub fn from_environment() -> Result<Self> {
        let here = std::env::current_dir().context("the current folder is gone")?;
        Self::read(repository_of(&here)?, |name| std::env::var(name).ok())
    }

    fn read(repository: &Path, lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        // An empty variable counts as not set: that is how make and CI pass "nothing".
        let lookup = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());

        let cache_home = lookup("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| lookup("HOME").map(|home| Path::new(&home).join(".cache")));
        let cache = lookup("STACK_CACHE_DIR")
            .map(PathBuf::from)
            .or_else(|| cache_home.map(|folder| folder.join("patient-management")))
            .context(
                "neither STACK_CACHE_DIR nor HOME is set, so there is no place to install tools",
            )?;

        let free_ports = match lookup("STACK_PORTS").as_deref() {
            None | Some("fixed") => false,
            Some("auto") => true,
            Some(other) => bail!("STACK_PORTS is '{other}'; it can be 'auto' or 'fixed'"),
        };
        let mut ports = BTreeMap::new();
        for service in Service::ALL {
            if let Some(text) = lookup(service.port_setting()) {
                ports.insert(service, port(service.port_setting(), &text)?);
            }
        }

        let directory = absolute(
            &lookup("STACK_DIR").map_or_else(|| repository.join(".local"), PathBuf::from),
        )?;
        // A command that was given this stack's environment has these three from us.
        let is_inside =
            lookup("STACK_FILE").is_some_and(|file| Path::new(&file).starts_with(&directory));
        let of_the_user = |name: &str| if is_inside { None } else { lookup(name) };

        // A name is looked for on the path; anything else is a file, wherever it is used from.
        let program = |name: &str| {
            let named = lookup(name).map(PathBuf::from);
            let is_path = |program: &PathBuf| program.components().count() > 1;
            named
                .map(|named| {
                    if is_path(&named) {
                        absolute(&named)
                    } else {
                        Ok(named)
                    }
                })
                .transpose()
        };

        Ok(Self {
            repository: repository.to_path_buf(),
            directory,
            cache: absolute(&cache)?,
            stack_name: lookup("STACK_NAME").unwrap_or_else(|| "patient-management".to_owned()),
            free_ports,
            ports,
            allowed_origins: lookup("STACK_ALLOWED_ORIGINS").unwrap_or_else(local_origins),
            profile: lookup("STACK_PROFILE").unwrap_or_else(|| "dev".to_owned()),
            python: program("STACK_PYTHON")?,
            java: program("STACK_JAVA")?,
            database_url: of_the_user("DATABASE_URL"),
            kafka_bootstrap_servers: of_the_user("KAFKA_BOOTSTRAP_SERVERS"),
            localstack_endpoint: of_the_user("LOCALSTACK_ENDPOINT")
                .map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            log_level: lookup("LOG_LEVEL").unwrap_or_else(|| "info".to_owned()),
        })
    }

    /// Whether this program starts the service, rather than using one of the user's.
    #[must_use]
    pub fn starts(&self, service: Service) -> bool {
        match service {
            Service::Postgres => self.database_url.is_none(),
            Service::Kafka => self.kafka_bootstrap_servers.is_none(),
            // A LocalStack of the user's own brings a DynamoDB of its own.
            Service::Dynamodb | Service::Localstack => self.localstack_endpoint.is_none(),
            Service::Billing => true,
        }
    }

    /// The folder of all log files.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// The log of one step or service.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// Where secrets of the stack are kept, readable by the owner only.
    #[must_use]
    pub fn secret(&self, name: &str) -> PathBuf {
        self.directory.join("secrets").join(name)
    }
}

/// The repository that a folder is in. Asked at each run, because a compiled program does
/// not notice when the repository moves, or when it is shared by two of them.
fn repository_of(folder: &Path) -> Result<&Path> {
    folder
        .ancestors()
        .find(|ancestor| {
            ancestor
                .join("localstack/orchestrator/Cargo.toml")
                .is_file()
        })
        .with_context(|| format!("{} is not in the repository", folder.display()))
}

fn port(name: &str, text: &str) -> Result<u16> {
    match text.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => bail!("{name} is '{text}', which is not a port number between 1 and 65535"),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is not a usable path", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(Path::new("/repository"), |name| {
            let home = (name == "HOME").then(|| "/home/somebody".to_owned());
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
                .or(home)
        })
    }

    #[test]
    fn without_any_setting_everything_is_in_the_repository_and_the_users_cache() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.directory, Path::new("/repository/.local"));
        assert_eq!(
            settings.cache,
            Path::new("/home/somebody/.cache/patient-management")
        );
        assert!(!settings.free_ports);
        assert!(Service::ALL.iter().all(|service| settings.starts(*service)));
    }

    #[test]
    fn the_repository_is_found_from_any_folder_inside() {
        let repository = tempfile::tempdir().unwrap();
        let inside = repository.path().join("localstack/orchestrator");
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::write(inside.join("Cargo.toml"), "").unwrap();
        assert_eq!(repository_of(&inside).unwrap(), repository.path());
        assert!(repository_of(Path::new("/")).is_err());
    }

    #[test]
    fn the_cache_follows_the_xdg_convention() {
        let settings = read(&[("XDG_CACHE_HOME", "/caches")]).unwrap();
        assert_eq!(settings.cache, Path::new("/caches/patient-management"));
    }

    #[test]
    fn a_service_of_the_users_own_is_not_started() {
        let settings = read(&[
            ("DATABASE_URL", "postgres://db.example/patients"),
            ("LOCALSTACK_ENDPOINT", "http://localhost:4566/"),
        ])
        .unwrap();
        assert!(!settings.starts(Service::Postgres));
        assert!(!settings.starts(Service::Localstack));
        assert!(!settings.starts(Service::Dynamodb));
        assert!(settings.starts(Service::Kafka));
        assert_eq!(
            settings.localstack_endpoint.as_deref(),
            Some("http://localhost:4566")
        );
    }

    #[test]
    fn a_command_inside_the_stack_does_not_take_its_database_for_the_users() {
        let inside = [
            ("STACK_FILE", "/repository/.local/stack.json"),
            ("DATABASE_URL", "postgres://127.0.0.1/patient_management"),
        ];
        assert!(read(&inside).unwrap().starts(Service::Postgres));
        let inside_another = [("STACK_DIR", "/elsewhere"), inside[0], inside[1]];
        assert!(!read(&inside_another).unwrap().starts(Service::Postgres));
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let settings = read(&[("DATABASE_URL", ""), ("STACK_PORTS", "")]).unwrap();
        assert!(settings.starts(Service::Postgres));
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_name_of_the_setting() {
        for (name, value) in [
            ("STACK_KAFKA_PORT", "70000"),
            ("STACK_POSTGRES_PORT", "0"),
            ("STACK_BILLING_PORT", "grpc"),
            ("STACK_PORTS", "random"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert!(error.contains(value), "{error}");
        }
    }

    #[test]
    fn every_port_setting_is_documented_with_its_default() {
        for service in Service::ALL {
            let documented = SETTINGS
                .iter()
                .find(|setting| setting.name == service.port_setting())
                .unwrap();
            assert_eq!(documented.default, service.default_port().to_string());
        }
    }
}
