//! The role that the functions and the billing service log in to the database with. It
//! owns nothing: it can do what they do with rows, and change neither the schemas nor a
//! record of the audit trail.

use anyhow::{Context as _, anyhow, bail, ensure};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
};
use url::Url;

use super::scram;

/// Services whose rows the application reads and writes.
const READ_AND_WRITTEN: [&str; 3] = ["auth", "billing", "patients"];

/// What the application may call to write to the audit trail. Some have several signatures, one of
/// which deployed functions may still call.
const FUNCTIONS_OF_AUDIT_TRAIL: [&str; 6] = [
    "audit.append(uuid, uuid, text, text, text, text, uuid[], uuid, text, text, text)",
    "audit.append(uuid, uuid, text, text, text, text, uuid[], uuid, text, text, text, text, uuid)",
    "audit.append_refusal_of_nobody(uuid, text, text, uuid[], uuid, text, text, timestamptz, text,
         integer)",
    "audit.append_refusal_of_nobody(uuid, text, text, uuid[], uuid, text, text, timestamptz, text,
         integer, text, uuid)",
    "audit.append_refusal_counts()",
    "audit.note_verified(smallint, bigint, bytea)",
];

/// How long a statement of the application may take, how long it may wait for a lock, how
/// long a transaction may stand still whose process was frozen or is gone, and after how long
/// it is noticed that nobody waits for a statement any more: one that waits for a lock would
/// still have its effect otherwise. A request is answered after 10 seconds at the latest.
const TIME_LIMITS: [(&str, &str); 4] = [
    ("statement_timeout", "5s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("client_connection_check_interval", "1s"),
];

/// Names the lock under which the role is provided, in this database.
const LOCK: i64 = i64::from_be_bytes(*b"app role");

/// PostgreSQL cuts off what is longer (`NAMEDATALEN`), in bytes.
const MAX_NAME: usize = 63;

/// The SQLSTATE of a statement that its role may not execute.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// How the application logs in.
#[derive(Clone)]
pub struct Application {
    options: PgConnectOptions,
    password: SecretString,
}

/// The role as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvidedRole {
    /// Its name.
    pub name: String,
    /// Whether it was made just now.
    pub created: bool,
}

impl Application {
    /// Reads the application's `DATABASE_URL`.
    ///
    /// # Errors
    /// If it is not the URL of a PostgreSQL database, with a role and its password. The
    /// value holds a password, so it is not repeated.
    pub fn from_url(text: &str) -> anyhow::Result<Self> {
        let invalid = || anyhow!("DATABASE_URL is not the URL of a PostgreSQL database");
        let options: PgConnectOptions = text.parse().map_err(|_| invalid())?;
        let url: Url = text.parse().map_err(|_| invalid())?;
        let last = |name: &str| {
            let pairs = url.query_pairs().filter(|(key, _)| key == name);
            pairs.last().map(|(_, value)| value.into_owned())
        };
        ensure!(
            !url.username().is_empty() || last("user").is_some(),
            "DATABASE_URL names no role"
        );
        let in_front = || {
            let password = percent_decode_str(url.password()?).decode_utf8().ok()?;
            Some(password.into_owned())
        };
        let password = last("password")
            .or_else(in_front)
            .filter(|password| !password.is_empty())
            .context("DATABASE_URL has no password")?;
        Ok(Self {
            options: options.application_name("provision"),
            password: password.into(),
        })
    }

    fn role(&self) -> &str {
        self.options.get_username()
    }
}

/// Makes the role unless it is there, sets its password, and gives it what the services
/// need and nothing else. To be called after the migrations: it speaks of the tables that
/// there are.
///
/// # Errors
/// If the owner may not do that, with what would help, or if the application could do
/// more than it should or cannot log in afterwards.
pub async fn provide(
    owner: &PgConnectOptions,
    application: &Application,
) -> anyhow::Result<ProvidedRole> {
    let role = application.role();
    ensure!(
        role != owner.get_username(),
        "DATABASE_URL and DATABASE_OWNER_URL name the same role, {role}: the application would \
         own the audit trail, and could alter it. Name another role in DATABASE_URL; it is \
         created if it is not there"
    );
    ensure!(
        role.len() <= MAX_NAME,
        "the name of the role in DATABASE_URL is longer than {MAX_NAME} bytes"
    );

    // The statements hold the password's verifier.
    let mut connection = owner
        .clone()
        .disable_statement_logging()
        .connect()
        .await
        .context("the database cannot be reached as its owner")?;
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await?;
    let (quoted_role, database, has_public): (String, String, bool) = sqlx::query_as(
        "SELECT quote_ident($1), quote_ident(current_database()),
             to_regnamespace('public') IS NOT NULL",
    )
    .bind(role)
    .fetch_one(&mut *transaction)
    .await?;
    let created = set_up(&mut transaction, application, &quoted_role, owner).await?;
    leave_groups(&mut transaction, role, &quoted_role).await?;
    execute(
        &mut transaction,
        grants(&quoted_role, &database, has_public),
    )
    .await
    .context("the owner may not grant what the application needs")?;
    no_large_objects(&mut transaction).await?;
    execute(&mut transaction, settings(&quoted_role, &database))
        .await
        .context("the owner may not limit the time of the application's statements")?;
    let excess = excess(&mut transaction, role).await?;
    ensure!(
        excess.is_empty(),
        "the role {role} could do more than the application may: {}. Take that away as whoever \
         gave it",
        excess.join(", ")
    );
    transaction.commit().await?;
    connection.close().await?;

    see_it_work(application).await?;
    Ok(ProvidedRole {
        name: role.to_owned(),
        created,
    })
}

/// Makes the role or puts it right. Answers whether it was made.
async fn set_up(
    connection: &mut PgConnection,
    application: &Application,
    role: &str,
    owner: &PgConnectOptions,
) -> anyhow::Result<bool> {
    let password = scram::verifier(application.password.expose_secret())
        .context("the password in DATABASE_URL cannot be used")?;
    let owner = owner.get_username();
    let there: Option<bool> = sqlx::query_scalar(
        "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls
         FROM pg_catalog.pg_roles WHERE rolname = $1",
    )
    .bind(application.role())
    .fetch_optional(&mut *connection)
    .await?;
    let (statement, help) = match there {
        None => (
            format!(
                "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT \
                 NOREPLICATION NOBYPASSRLS PASSWORD '{password}'"
            ),
            format!("{role} is not there, and {owner} may not create it: give {owner} CREATEROLE"),
        ),
        Some(false) => (
            format!("ALTER ROLE {role} LOGIN NOINHERIT PASSWORD '{password}'"),
            format!(
                "{role} is there already, and {owner} may not alter it: as a superuser, ALTER \
                 ROLE {owner} CREATEROLE and GRANT {role} TO {owner} WITH ADMIN OPTION, or DROP \
                 ROLE {role}"
            ),
        ),
        // Somebody administers a server with it: not ours to give another password.
        Some(true) => bail!(
            "{role}, which DATABASE_URL names, is there already, and is one of SUPERUSER, \
             CREATEDB, CREATEROLE, REPLICATION and BYPASSRLS. Name another role, which is \
             created if it is not there, or take that away from it"
        ),
    };
    match execute(connection, statement).await {
        Ok(()) => Ok(there.is_none()),
        Err(error) if is_refusal(&error) => Err(error).context(help),
        Err(error) => Err(error).with_context(|| format!("the role {role} cannot be set up")),
    }
}

/// Whoever is in a group may become it.
async fn leave_groups(
    connection: &mut PgConnection,
    role: &str,
    quoted_role: &str,
) -> anyhow::Result<()> {
    let groups: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(pg_get_userbyid(roleid))
         FROM pg_catalog.pg_auth_members
         WHERE pg_get_userbyid(member) = $1",
    )
    .bind(role)
    .fetch_all(&mut *connection)
    .await?;
    for group in groups {
        execute(connection, format!("REVOKE {group} FROM {quoted_role}"))
            .await
            .with_context(|| format!("{role} is in {group} and cannot be taken out"))?;
    }
    Ok(())
}

/// Everything away, then what is needed: what an earlier version needed may be too much.
/// Nobody sees the time between, for it is one transaction.
fn grants(role: &str, database: &str, has_public: bool) -> String {
    let mut statements = vec![format!(
        "REVOKE ALL ON DATABASE {database} FROM {role};
         REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC;
         GRANT CONNECT ON DATABASE {database} TO {role};"
    )];
    if has_public {
        statements.push(format!(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC, {role};"
        ));
    }
    for schema in READ_AND_WRITTEN {
        statements.push(format!(
            "REVOKE ALL ON SCHEMA {schema} FROM {role};
             REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role};
             REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {role};
             GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};
             REVOKE ALL ON {schema}._sqlx_migrations FROM {role};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role};"
        ));
    }
    statements.push(format!(
        "REVOKE ALL ON SCHEMA audit FROM PUBLIC, {role};
         REVOKE ALL ON ALL TABLES IN SCHEMA audit FROM PUBLIC, {role};
         REVOKE ALL ON ALL SEQUENCES IN SCHEMA audit FROM PUBLIC, {role};
         REVOKE ALL ON ALL ROUTINES IN SCHEMA audit FROM PUBLIC, {role};
         GRANT USAGE ON SCHEMA audit TO {role};
         GRANT SELECT ON audit.record, audit.chain, audit.verified_end TO {role};
         GRANT EXECUTE ON FUNCTION {} TO {role};",
        FUNCTIONS_OF_AUDIT_TRAIL.join(", "),
    ));
    statements.concat()
}

/// PostgreSQL lets everybody make large objects. Only who owns its functions, often nobody but
/// a superuser, may end that; what has been made is removed all the same, see [`see_it_work`].
async fn no_large_objects(connection: &mut PgConnection) -> anyhow::Result<()> {
    let functions: Vec<String> = sqlx::query_scalar(
        "SELECT oid::regprocedure::text
         FROM pg_catalog.pg_proc
         WHERE pronamespace = 'pg_catalog'::regnamespace
             AND proname IN ('lo_creat', 'lo_create', 'lo_from_bytea')
             AND pg_has_role(proowner, 'USAGE')",
    )
    .fetch_all(&mut *connection)
    .await?;
    for function in functions {
        execute(
            connection,
            format!("REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC"),
        )
        .await?;
    }
    Ok(())
}

/// Our own, in place of what the role may have set for itself: everybody may do that.
fn settings(role: &str, database: &str) -> String {
    let limits = TIME_LIMITS.map(|(name, value)| {
        format!("ALTER ROLE {role} IN DATABASE {database} SET {name} = '{value}';")
    });
    format!(
        "ALTER ROLE {role} RESET ALL; ALTER ROLE {role} IN DATABASE {database} RESET ALL; {}",
        limits.concat()
    )
}

/// What the role could do and should not: what it owns, and what others than the owner
/// have granted, to it or to everybody. Everybody may own large objects, which are removed, and
/// privileges of objects to come, which it cannot make.
async fn excess(connection: &mut PgConnection, role: &str) -> anyhow::Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "SELECT 'it owns ' || pg_describe_object(classid, objid, objsubid)
         FROM pg_catalog.pg_shdepend
         WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o'
             AND pg_get_userbyid(refobjid) = $1
             AND classid NOT IN ('pg_largeobject'::regclass, 'pg_default_acl'::regclass)
             AND (dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                 OR (classid = 'pg_database'::regclass
                     AND objid = (SELECT oid FROM pg_database WHERE datname = current_database())))
         UNION ALL
         SELECT 'it is in the group ' || pg_get_userbyid(roleid)
         FROM pg_catalog.pg_auth_members
         WHERE pg_get_userbyid(member) = $1
         UNION ALL
         SELECT 'it may create in this database'
         WHERE has_database_privilege($1::text::name, current_database(), 'CREATE')
         UNION ALL
         SELECT 'it may create in the schema ' || nspname
         FROM pg_catalog.pg_namespace
         WHERE nspname !~ '^pg_' AND has_schema_privilege($1::text::name, oid, 'CREATE')
         UNION ALL
         SELECT 'it may write ' || oid::regclass
         FROM pg_catalog.pg_class
         WHERE relnamespace = 'audit'::regnamespace AND relkind IN ('r', 'p', 'v', 'f')
             AND (has_table_privilege($1::text::name, oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
                 OR has_any_column_privilege($1::text::name, oid, 'INSERT, UPDATE'))
         LIMIT 20",
    )
    .bind(role)
    .fetch_all(connection)
    .await?)
}

/// Logs in as the application does: its URL may lead elsewhere, or through a proxy. Removes
/// the large objects that it has made, as nobody else may.
async fn see_it_work(application: &Application) -> anyhow::Result<()> {
    let mut connection = application
        .options
        .connect()
        .await
        .context("the application cannot log in with DATABASE_URL")?;
    sqlx::query("SELECT FROM audit.record LIMIT 1")
        .execute(&mut connection)
        .await
        .context("DATABASE_URL and DATABASE_OWNER_URL lead to different databases")?;
    // A part at a time: each one is locked until the statement ends.
    let remove = "SELECT count(lo_unlink(oid))
        FROM (SELECT oid FROM pg_catalog.pg_largeobject_metadata
              WHERE pg_get_userbyid(lomowner) = current_user LIMIT 1000) large_object";
    let remove = async |connection: &mut PgConnection| -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(remove).fetch_one(connection).await
    };
    while remove(&mut connection).await? > 0 {}
    connection.close().await?;
    Ok(())
}

/// The statement is made of names that the server has quoted, of constants and of a
/// password's verifier: PostgreSQL takes no parameters in such statements.
async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}

fn is_refusal(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == INSUFFICIENT_PRIVILEGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> anyhow::Result<(String, String)> {
        let application = Application::from_url(url)?;
        Ok((
            application.role().to_owned(),
            application.password.expose_secret().to_owned(),
        ))
    }

    #[test]
    fn role_and_password_are_read_as_the_functions_read_them() {
        for (url, role, password) in [
            ("postgres://app:secret@db.example/clinic", "app", "secret"),
            (
                "postgres://a%40b:it%27s%20%C3%AB@db.example/c",
                "a@b",
                "it's ë",
            ),
            (
                "postgres://db.example/c?user=app&password=s%26t",
                "app",
                "s&t",
            ),
            (
                "postgres://x:y@db.example/c?user=app&password=z",
                "app",
                "z",
            ),
        ] {
            let (read_role, read_password) = read(url).unwrap();
            assert_eq!((&*read_role, &*read_password), (role, password), "{url}");
        }
    }

    #[test]
    fn a_url_that_is_not_enough_is_refused_without_showing_it() {
        for (url, missing) in [
            ("postgres://app@db.example/clinic", "no password"),
            ("postgres://app:@db.example/clinic", "no password"),
            ("postgres://:secret@db.example/clinic", "names no role"),
            ("postgres://db.example/clinic", "names no role"),
            ("secret", "not the URL"),
            (
                "postgres://app:secret@db.example:port/clinic",
                "not the URL",
            ),
        ] {
            let refused = format!("{:#}", read(url).unwrap_err());
            assert!(refused.contains(missing), "{url}: {refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}
