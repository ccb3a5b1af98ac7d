//! The roles that the services log in to the database with, one each. They own nothing: each can
//! do what its service does with the rows of its own schema, call what other services publish for
//! it, and change neither a schema nor a record of the audit trail.

use std::env;

use anyhow::{Context as _, anyhow, bail, ensure};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
};
use store::{Authentication, PoolError, connect_options_to, verified, with_token};
use url::Url;

use super::{
    scram,
    services::{FINAL, SERVICES, Service},
};

/// How long a statement of a service may take, how long it may wait for a lock, how
/// long a transaction may stand still whose process was frozen or is gone, and after how long
/// it is noticed that nobody waits for a statement any more: one that waits for a lock would
/// still have its effect otherwise. A request is answered after 10 seconds at the latest.
const TIME_LIMITS: [(&str, &str); 4] = [
    ("statement_timeout", "5s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("client_connection_check_interval", "1s"),
];

/// Names the lock under which the roles are provided, in this database.
const LOCK: i64 = i64::from_be_bytes(*b"app role");

/// PostgreSQL cuts off what is longer (`NAMEDATALEN`), in bytes.
const MAX_NAME: usize = 63;

/// The role of Amazon RDS whose members log in with tokens of AWS, and no longer with passwords.
const KNOWN_TO_AWS: &str = "rds_iam";

/// The SQLSTATE of a statement that its role may not execute.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// How a service logs in.
#[derive(Clone)]
pub struct Login {
    service: &'static Service,
    options: PgConnectOptions,
    proof: Proof,
}

/// By what the database knows that it is the service.
#[derive(Clone)]
enum Proof {
    Password(SecretString),
    /// Tokens of AWS.
    Token,
}

/// A role as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvidedRole {
    /// Its name.
    pub name: String,
    /// Whether it was made just now.
    pub created: bool,
}

impl Login {
    /// Those of all services, from their settings.
    ///
    /// # Errors
    /// If a setting is missing, or as [`Login::from_url`] and [`Login::with_tokens`].
    pub fn all_from_env() -> anyhow::Result<Vec<Self>> {
        let read = match Authentication::from_env()? {
            Authentication::Password => Self::from_url,
            Authentication::Iam => Self::with_tokens,
        };
        let login = |service: &'static Service| {
            let setting = service.setting();
            let url = env::var(&setting).with_context(|| format!("{setting} is not set"))?;
            read(service, &url)
        };
        SERVICES.iter().map(login).collect()
    }

    /// Reads the `DATABASE_URL` of a service that logs in with tokens of AWS.
    ///
    /// # Errors
    /// If it is not the URL of a PostgreSQL database, with a role.
    pub fn with_tokens(service: &'static Service, text: &str) -> anyhow::Result<Self> {
        let (options, _) = read(service, text)?;
        verified(&options).with_context(|| service.setting())?;
        Ok(Self {
            service,
            options,
            proof: Proof::Token,
        })
    }

    /// Reads the `DATABASE_URL` of a service.
    ///
    /// # Errors
    /// If it is not the URL of a PostgreSQL database, with a role and its password. The
    /// value holds a password, so it is not repeated.
    pub fn from_url(service: &'static Service, text: &str) -> anyhow::Result<Self> {
        let (options, password) = read(service, text)?;
        let password = password
            .filter(|password| !password.is_empty())
            .with_context(|| format!("{} has no password", service.setting()))?;
        Ok(Self {
            service,
            options,
            proof: Proof::Password(password.into()),
        })
    }

    fn role(&self) -> &str {
        self.options.get_username()
    }

    /// Whether this is the schema of the service.
    fn owns(&self, schema: &str) -> bool {
        self.service.name == schema
    }
}

/// The role that a URL names, and the password in it.
fn read(service: &Service, text: &str) -> anyhow::Result<(PgConnectOptions, Option<String>)> {
    let setting = service.setting();
    let invalid = || anyhow!("{setting} is not the URL of a PostgreSQL database");
    let options = connect_options_to(text).map_err(|error| match error {
        PoolError::Invalid(_) => invalid(),
        error => anyhow!(error),
    })?;
    let url: Url = text.parse().map_err(|_| invalid())?;
    let last = |name: &str| {
        let pairs = url.query_pairs().filter(|(key, _)| key == name);
        pairs.last().map(|(_, value)| value.into_owned())
    };
    ensure!(
        !url.username().is_empty() || last("user").is_some(),
        "{setting} names no role"
    );
    let in_front = || {
        let password = percent_decode_str(url.password()?).decode_utf8().ok()?;
        Some(password.into_owned())
    };
    let password = last("password").or_else(in_front);
    Ok((options.application_name("provision"), password))
}

/// Makes the roles that are not there, sets their passwords, and gives each what its service
/// needs and nothing else. To be called after the migrations: it speaks of the tables and
/// functions that there are.
///
/// # Errors
/// If the owner may not do that, with what would help, or if a service could do more than it
/// should or cannot log in afterwards.
pub async fn provide(
    owner: &PgConnectOptions,
    logins: &[Login],
) -> anyhow::Result<Vec<ProvidedRole>> {
    let (provided, here) = set_up_all(owner, logins).await?;
    for login in logins {
        see_it_work(login, &here).await?;
    }
    Ok(provided)
}

/// As [`provide`], but does not log in as the services. Also answers where the roles are.
///
/// # Errors
/// As [`provide`].
pub async fn set_up_all(
    owner: &PgConnectOptions,
    logins: &[Login],
) -> anyhow::Result<(Vec<ProvidedRole>, String)> {
    for login in logins {
        let (role, setting) = (login.role(), login.service.setting());
        ensure!(
            role != owner.get_username(),
            "{setting} names the owner, {role}: the service would own the audit trail, and could \
             alter it. Name another role in {setting}; it is created if it is not there"
        );
        ensure!(
            role.len() <= MAX_NAME,
            "the name of the role in {setting} is longer than {MAX_NAME} bytes"
        );
    }

    // The statements hold the passwords' verifiers.
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
    let here = place(&mut transaction).await?;
    let (database, has_public): (String, bool) = sqlx::query_as(
        "SELECT quote_ident(current_database()), to_regnamespace('public') IS NOT NULL",
    )
    .fetch_one(&mut *transaction)
    .await?;
    execute(
        &mut transaction,
        nothing_for_everybody(&database, has_public),
    )
    .await
    .context("the owner may not take away what everybody may do")?;
    no_large_objects(&mut transaction).await?;
    let mut provided = Vec::new();
    for login in logins {
        let created = provide_one(&mut transaction, login, owner, &database, has_public)
            .await
            .with_context(|| format!("the role of the service {}", login.service.name))?;
        provided.push(ProvidedRole {
            name: login.role().to_owned(),
            created,
        });
    }
    still_has_a_password(&mut transaction).await?;
    transaction.commit().await?;
    connection.close().await?;
    Ok((provided, here))
}

/// Answers whether the role was made.
async fn provide_one(
    connection: &mut PgConnection,
    login: &Login,
    owner: &PgConnectOptions,
    database: &str,
    has_public: bool,
) -> anyhow::Result<bool> {
    let role = login.role();
    let quoted_role: String = sqlx::query_scalar("SELECT quote_ident($1)")
        .bind(role)
        .fetch_one(&mut *connection)
        .await?;
    let created = set_up(connection, login, &quoted_role, owner).await?;
    leave_groups(connection, role, &quoted_role).await?;
    if matches!(login.proof, Proof::Token) {
        log_in_with_tokens(connection, &quoted_role).await?;
    }
    let functions = called_functions(connection, login.service).await?;
    let grants = grants(login, &quoted_role, database, has_public, &functions);
    execute(connection, grants)
        .await
        .context("the owner may not grant what the service needs")?;
    execute(connection, settings(&quoted_role, database))
        .await
        .context("the owner may not limit the time of the service's statements")?;
    let excess = excess(connection, login, &functions).await?;
    ensure!(
        excess.is_empty(),
        "the role {role} could do more than the service may: {}. Take that away as whoever gave it",
        excess.join(", ")
    );
    Ok(created)
}

/// Makes the role or puts it right. Answers whether it was made.
async fn set_up(
    connection: &mut PgConnection,
    login: &Login,
    role: &str,
    owner: &PgConnectOptions,
) -> anyhow::Result<bool> {
    let setting = login.service.setting();
    let password = match &login.proof {
        Proof::Token => "NULL".to_owned(),
        Proof::Password(password) => {
            let verifier = scram::verifier(password.expose_secret())
                .with_context(|| format!("the password in {setting} cannot be used"))?;
            format!("'{verifier}'")
        }
    };
    let owner = owner.get_username();
    let there: Option<bool> = sqlx::query_scalar(
        "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls
         FROM pg_catalog.pg_roles WHERE rolname = $1",
    )
    .bind(login.role())
    .fetch_optional(&mut *connection)
    .await?;
    let (statement, help) = match there {
        None => (
            format!(
                "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT \
                 NOREPLICATION NOBYPASSRLS PASSWORD {password}"
            ),
            format!("{role} is not there, and {owner} may not create it: give {owner} CREATEROLE"),
        ),
        Some(false) => (
            format!("ALTER ROLE {role} LOGIN NOINHERIT PASSWORD {password}"),
            format!(
                "{role} is there already, and {owner} may not alter it: as a superuser, ALTER \
                 ROLE {owner} CREATEROLE and GRANT {role} TO {owner} WITH ADMIN OPTION, or DROP \
                 ROLE {role}"
            ),
        ),
        // Somebody administers a server with it: not ours to give another password.
        Some(true) => bail!(
            "{role}, which {setting} names, is there already, and is one of SUPERUSER, \
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

/// From then on, the server takes no password for the role.
async fn log_in_with_tokens(
    connection: &mut PgConnection,
    quoted_role: &str,
) -> anyhow::Result<()> {
    let known: bool = sqlx::query_scalar("SELECT to_regrole($1) IS NOT NULL")
        .bind(KNOWN_TO_AWS)
        .fetch_one(&mut *connection)
        .await?;
    ensure!(
        known,
        "DATABASE_AUTHENTICATION is IAM, and the server has no role {KNOWN_TO_AWS}: it is not of \
         Amazon RDS"
    );
    execute(connection, format!("GRANT {KNOWN_TO_AWS} TO {quoted_role}"))
        .await
        .with_context(|| format!("the owner may not grant {KNOWN_TO_AWS}"))
}

/// Who makes a role becomes a member of it, unless they are a superuser, and of what the role is granted
/// with it. If that were the case, RDS would take no password of the owner from now on, either.
async fn still_has_a_password(connection: &mut PgConnection) -> anyhow::Result<()> {
    let locked_out: bool = sqlx::query_scalar(
        "SELECT to_regrole($1) IS NOT NULL
            AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
            AND pg_has_role(to_regrole($1), 'MEMBER')",
    )
    .bind(KNOWN_TO_AWS)
    .fetch_one(connection)
    .await?;
    ensure!(
        !locked_out,
        "the owner would be a member of {KNOWN_TO_AWS} by way of a service's role, and could not log \
         in with its password any more. Nothing has been changed: let the master user of RDS be the owner"
    );
    Ok(())
}

/// What PostgreSQL lets everybody do, and what somebody may have given to everybody.
fn nothing_for_everybody(database: &str, has_public: bool) -> String {
    let mut statements = format!("REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC;");
    if has_public {
        statements.push_str("REVOKE CREATE ON SCHEMA public FROM PUBLIC;");
    }
    for schema in schemas() {
        statements.push_str(&nothing(schema, "PUBLIC"));
    }
    statements
}

/// Everything in the schema away from somebody.
fn nothing(schema: &str, role: &str) -> String {
    format!(
        "REVOKE ALL ON SCHEMA {schema} FROM {role};
         REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role};
         REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {role};
         REVOKE ALL ON ALL ROUTINES IN SCHEMA {schema} FROM {role};"
    )
}

/// Everything away, then what is needed: what an earlier version needed may be too much.
/// Nobody sees the time between, for it is one transaction.
fn grants(
    login: &Login,
    role: &str,
    database: &str,
    has_public: bool,
    functions: &[Function],
) -> String {
    let mut statements = vec![format!(
        "REVOKE ALL ON DATABASE {database} FROM {role};
         GRANT CONNECT ON DATABASE {database} TO {role};"
    )];
    if has_public {
        statements.push(format!("REVOKE CREATE ON SCHEMA public FROM {role};"));
    }
    for schema in schemas() {
        statements.push(nothing(schema, role));
        if !login.owns(schema) {
            continue;
        }
        let tables = if schema == FINAL {
            "SELECT"
        } else {
            "SELECT, INSERT, UPDATE, DELETE"
        };
        statements.push(format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT {tables} ON ALL TABLES IN SCHEMA {schema} TO {role};
             REVOKE ALL ON {schema}._sqlx_migrations FROM {role};"
        ));
        if schema != FINAL {
            statements.push(format!(
                "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
                 GRANT EXECUTE ON ALL ROUTINES IN SCHEMA {schema} TO {role};"
            ));
        }
    }
    for table in login.service.adds_to {
        statements.push(format!("REVOKE UPDATE, DELETE ON {table} FROM {role};"));
    }
    for Function { schema, signature } in functions {
        statements.push(format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT EXECUTE ON FUNCTION {signature} TO {role};"
        ));
    }
    statements.concat()
}

fn schemas() -> impl Iterator<Item = &'static str> {
    schemas::Service::ALL
        .into_iter()
        .map(schemas::Service::name)
}

/// A function of a schema.
#[derive(sqlx::FromRow)]
struct Function {
    /// Quoted.
    schema: String,
    /// Its name, quoted, and the types of its parameters.
    signature: String,
}

/// What the service calls of other schemas. A function may be there twice while one of them takes
/// the place of the other.
async fn called_functions(
    connection: &mut PgConnection,
    service: &Service,
) -> anyhow::Result<Vec<Function>> {
    let mut functions = Vec::new();
    for name in service.calls {
        let found: Vec<Function> = sqlx::query_as(
            "SELECT quote_ident(nspname) AS schema, pg_proc.oid::regprocedure::text AS signature
             FROM pg_catalog.pg_proc
             JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pronamespace
             WHERE nspname || '.' || proname = $1",
        )
        .bind(name)
        .fetch_all(&mut *connection)
        .await?;
        ensure!(!found.is_empty(), "there is no function {name}");
        functions.extend(found);
    }
    Ok(functions)
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

/// What the role could do and should not: what it owns, what it has in other databases, and what
/// others than the owner have granted, to it or to everybody. Everybody may own large objects,
/// which are removed, and privileges of objects to come, which it cannot make.
async fn excess(
    connection: &mut PgConnection,
    login: &Login,
    functions: &[Function],
) -> anyhow::Result<Vec<String>> {
    let schemas: Vec<&str> = schemas().collect();
    let called: Vec<&str> = functions
        .iter()
        .map(|function| function.signature.as_str())
        .collect();
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
         SELECT DISTINCT 'it has privileges in the database ' || datname
         FROM pg_catalog.pg_shdepend JOIN pg_catalog.pg_database ON pg_database.oid = dbid
         WHERE refclassid = 'pg_authid'::regclass AND deptype = 'a'
             AND pg_get_userbyid(refobjid) = $1 AND datname <> current_database()
         UNION ALL
         SELECT 'it is in the group ' || pg_get_userbyid(roleid)
         FROM pg_catalog.pg_auth_members
         WHERE pg_get_userbyid(member) = $1 AND pg_get_userbyid(roleid) IS DISTINCT FROM $6
         UNION ALL
         SELECT 'it may create in this database'
         WHERE has_database_privilege($1::text::name, current_database(), 'CREATE')
         UNION ALL
         SELECT 'it may create in the schema ' || nspname
         FROM pg_catalog.pg_namespace
         WHERE nspname !~ '^pg_' AND has_schema_privilege($1::text::name, oid, 'CREATE')
         UNION ALL
         SELECT 'it may use ' || pg_class.oid::regclass
         FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
         WHERE nspname = ANY($2) AND nspname <> $3 AND relkind IN ('r', 'p', 'v', 'm', 'f')
             AND (has_table_privilege($1::text::name, pg_class.oid, 'SELECT')
                 OR has_any_column_privilege($1::text::name, pg_class.oid, 'SELECT'))
         UNION ALL
         SELECT 'it may write ' || pg_class.oid::regclass
         FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
         WHERE nspname = ANY($2) AND (nspname <> $3 OR nspname = $4)
             AND relkind IN ('r', 'p', 'v', 'f')
             AND (has_table_privilege($1::text::name, pg_class.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
                 OR has_any_column_privilege($1::text::name, pg_class.oid, 'INSERT, UPDATE'))
         UNION ALL
         SELECT 'it may call ' || pg_proc.oid::regprocedure
         FROM pg_catalog.pg_proc JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pronamespace
         WHERE nspname = ANY($2) AND (nspname <> $3 OR nspname = $4)
             AND pg_proc.oid::regprocedure::text <> ALL($5)
             AND has_function_privilege($1::text::name, pg_proc.oid, 'EXECUTE')
         LIMIT 20",
    )
    .bind(login.role())
    .bind(schemas)
    .bind(login.service.name)
    .bind(FINAL)
    .bind(called)
    .bind(matches!(login.proof, Proof::Token).then_some(KNOWN_TO_AWS))
    .fetch_all(connection)
    .await?)
}

/// The database, and since when its server has been running: no two servers are the same in that.
async fn place(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT extract(epoch FROM pg_postmaster_start_time()) || ' ' || current_database()",
    )
    .fetch_one(connection)
    .await
}

/// Logs in as the service does: its URL may lead elsewhere, or through a proxy. Removes the large
/// objects that it has made, as nobody else may.
async fn see_it_work(login: &Login, owners_place: &str) -> anyhow::Result<()> {
    let setting = login.service.setting();
    let options = match login.proof {
        Proof::Password(_) => login.options.clone(),
        Proof::Token => with_token(login.options.clone()).await?,
    };
    let mut connection = options
        .connect()
        .await
        .with_context(|| format!("nobody can log in with {setting}"))?;
    ensure!(
        place(&mut connection).await? == owners_place,
        "{setting} leads to another database than the owner's"
    );
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
        let login = Login::from_url(&SERVICES[0], url)?;
        Ok((
            login.role().to_owned(),
            match login.proof {
                Proof::Password(password) => password.expose_secret().to_owned(),
                Proof::Token => String::new(),
            },
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
