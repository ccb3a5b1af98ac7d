//! How the owner of the schemas logs in. Nobody but `provision` can.

use anyhow::Context as _;
use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;
use store::{
    Authentication, aws_config, connect_options_of, connect_options_to, failure_code, setting,
    verified,
};

const APPLICATION: &str = "provision";

/// What RDS keeps in Secrets Manager of the master user, and replaces every seven days.
#[derive(Deserialize)]
struct Content {
    username: String,
    password: String,
}

/// Where services have passwords, the owner has one as well, in `DATABASE_OWNER_URL`. Otherwise it is
/// read from the secret `DATABASE_OWNER_SECRET` now, for the database at `DATABASE_ADDRESS`.
///
/// # Errors
/// If a setting is missing or cannot be used, or if the secret cannot be read.
pub(super) async fn from_env() -> anyhow::Result<PgConnectOptions> {
    if Authentication::from_env()? == Authentication::Password {
        return Ok(connect_options_of("DATABASE_OWNER_URL", APPLICATION)?);
    }
    let address = setting("DATABASE_ADDRESS")?;
    let secret = setting("DATABASE_OWNER_SECRET")?;
    let client = aws_sdk_secretsmanager::Client::new(aws_config().await);
    let answer = client.get_secret_value().secret_id(secret).send().await;
    let answer = answer.map_err(|error| {
        anyhow::anyhow!(
            "the owner's secret cannot be read: {}",
            failure_code(&error)
        )
    })?;
    logging_in(&address, answer.secret_string().unwrap_or_default())
}

fn logging_in(address: &str, secret: &str) -> anyhow::Result<PgConnectOptions> {
    // The parser's own message would quote the secret.
    let Content { username, password } = serde_json::from_str(secret)
        .ok()
        .context("the owner's secret has no username and password")?;
    let options = connect_options_to(&format!("postgres://{address}"))?;
    verified(&options).context("DATABASE_ADDRESS")?;
    Ok(options
        .username(&username)
        .password(&password)
        .application_name(APPLICATION))
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;

    use super::*;

    #[test]
    fn the_owner_is_the_one_in_the_secret_whatever_the_password() {
        let secret = r#"{"username":"owner","password":"a:b@c/d?e#f%20 g","engine":"postgres"}"#;
        let options = logging_in("db.example:6000/clinic?sslmode=verify-full", secret).unwrap();
        assert_eq!(options.get_username(), "owner");
        assert_eq!(options.get_host(), "db.example");
        assert_eq!(options.get_port(), 6000);
        assert_eq!(options.get_database(), Some("clinic"));
        let url = options.to_url_lossy();
        assert_eq!(url.password(), Some("a%3Ab%40c%2Fd%3Fe%23f%2520%20g"));
    }

    #[test]
    fn the_password_goes_only_to_a_server_that_proves_who_it_is() {
        let secret = r#"{"username":"owner","password":"secret"}"#;
        for address in ["db.example/clinic", "db.example/clinic?sslmode=require"] {
            let error = logging_in(address, secret).unwrap_err();
            assert!(
                format!("{error:#}").contains("sslmode=verify-full"),
                "{error:#}"
            );
        }
    }

    #[test]
    fn what_is_in_the_secret_is_never_repeated() {
        for secret in [
            "hunter2",
            r#"{"password":"hunter2"}"#,
            r#"{"username":"hunter2""#,
        ] {
            let error = format!("{:#}", logging_in("db.example/clinic", secret).unwrap_err());
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
