//! The services' roles: what they can do, what they cannot, and how they come to be so. Roles
//! belong to the whole server, so each test has its own and drops them.

use std::{
    collections::BTreeSet,
    env,
    panic::{AssertUnwindSafe, resume_unwind},
    pin::Pin,
};

use futures::FutureExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use platform::provision::{
    Login, Patience, ProvidedRole, SERVICES, Service, provide_service_roles, run_migrations,
    set_up_service_roles,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

/// A database with its owner, and a role that is about to be that of the patients service.
pub(crate) struct Stage {
    pub(crate) owner: PgConnectOptions,
    pub(crate) role: String,
    pub(crate) password: String,
    others: Vec<String>,
}

impl Stage {
    /// After the migrations, and before the role is there.
    pub(crate) async fn migrated(owner: PgConnectOptions) -> Self {
        run_migrations(&owner, Patience::default()).await.unwrap();
        Self {
            owner,
            role: new_name(),
            password: "first".to_owned(),
            others: Vec::new(),
        }
    }

    /// With the role.
    pub(crate) async fn provisioned(owner: PgConnectOptions) -> Self {
        let stage = Self::migrated(owner).await;
        assert!(stage.provision().await.unwrap().created);
        stage
    }

    async fn provision(&self) -> anyhow::Result<ProvidedRole> {
        self.provision_as(&self.owner).await
    }

    async fn provision_as(&self, owner: &PgConnectOptions) -> anyhow::Result<ProvidedRole> {
        let url = self.url(&self.role, &self.password);
        let login = Login::from_url(service("patients"), &url)?;
        let mut provided = provide_service_roles(owner, &[login]).await?;
        Ok(provided.remove(0))
    }

    async fn refusal(&self) -> String {
        let refused = self.provision().await.expect_err("it is refused");
        format!("{refused:#}")
    }

    fn url(&self, role: &str, password: &str) -> String {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        format!(
            "postgres://{}:{}@{}:{}/{}",
            encode(role),
            encode(password),
            self.owner.get_host(),
            self.owner.get_port(),
            self.owner.get_database().unwrap(),
        )
    }

    fn login_with_tokens(&self) -> Login {
        let url = format!("{}?sslmode=verify-full", self.url(&self.role, ""));
        Login::with_tokens(service("patients"), &url).unwrap()
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        self.url(&self.role, &self.password).parse().unwrap()
    }

    pub(crate) async fn log_in(&self) -> PgConnection {
        self.options().connect().await.unwrap()
    }

    pub(crate) async fn as_owner(&self, statement: &str) {
        let mut connection = self.owner.connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        connection.close().await.unwrap();
    }

    /// Another role, which is dropped with this one.
    async fn another(&mut self, attributes: &str) -> String {
        let name = new_name();
        self.as_owner(&format!("CREATE ROLE {name} {attributes}"))
            .await;
        self.others.push(name.clone());
        name
    }

    pub(crate) async fn leave(self) {
        let mut connection = self.owner.connect().await.unwrap();
        for role in self.others.iter().chain([&self.role]) {
            let quoted = role.replace('"', "\"\"");
            let there: bool =
                sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
                    .bind(role)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
            if there {
                let statement = format!(
                    "REASSIGN OWNED BY \"{quoted}\" TO CURRENT_USER;
                     DROP OWNED BY \"{quoted}\"; DROP ROLE \"{quoted}\""
                );
                sqlx::raw_sql(AssertSqlSafe(statement))
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
        }
        connection.close().await.unwrap();
    }
}

fn new_name() -> String {
    format!("service_{}", Uuid::new_v4().simple())
}

fn service(name: &str) -> &'static Service {
    let service = SERVICES.iter().find(|service| service.name == name);
    service.unwrap_or_else(|| panic!("{name} has no role"))
}

/// A database with the roles of all services.
struct Clinic {
    stage: Stage,
}

impl Clinic {
    async fn open(owner: PgConnectOptions) -> Self {
        let mut stage = Stage::migrated(owner).await;
        let roles = SERVICES.iter().map(|service| role_of(&stage.role, service));
        stage.others = roles.collect();
        let clinic = Self { stage };
        assert!(clinic.provision().await.iter().all(|role| role.created));
        clinic
    }

    async fn provision(&self) -> Vec<ProvidedRole> {
        let logins: Vec<Login> = SERVICES
            .iter()
            .map(|service| Login::from_url(service, &self.url(service)).unwrap())
            .collect();
        provide_service_roles(&self.stage.owner, &logins)
            .await
            .unwrap()
    }

    fn url(&self, service: &Service) -> String {
        let role = role_of(&self.stage.role, service);
        self.stage.url(&role, &self.stage.password)
    }

    async fn log_in(&self, service: &Service) -> PgConnection {
        let options: PgConnectOptions = self.url(service).parse().unwrap();
        options.connect().await.unwrap()
    }
}

fn role_of(prefix: &str, service: &Service) -> String {
    format!("{prefix}_{}", service.name)
}

/// The SQLSTATE that the statement is refused with, if it is. Nothing of it stays.
async fn refusal(connection: &mut PgConnection, statement: &str) -> Option<String> {
    let mut transaction = connection.begin().await.unwrap();
    let outcome = sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut *transaction)
        .await;
    transaction.rollback().await.unwrap();
    let refused = outcome.err()?;
    let refused = refused
        .as_database_error()
        .unwrap_or_else(|| panic!("{statement}: {refused}"));
    Some(refused.code().unwrap().into_owned())
}

async fn is_refused(connection: &mut PgConnection, statement: &str) {
    let code = refusal(connection, statement).await;
    assert_eq!(code.as_deref(), Some("42501"), "{statement}");
}

async fn is_done(connection: &mut PgConnection, statement: &str) {
    let code = refusal(connection, statement).await;
    assert_eq!(code, None, "{statement}");
}

const APPEND: &str = "SELECT audit.append(gen_random_uuid(), NULL, NULL, 'LOG_IN', 'REFUSED',
    'unauthorized', '{}', NULL, NULL, '127.0.0.1', 'a request')";

const APPEND_ABOUT_RESOURCE: &str = "SELECT audit.append(gen_random_uuid(), NULL, NULL,
    'READ_BILLING_ACCOUNT', 'SUCCEEDED', NULL, '{}', NULL, NULL, '127.0.0.1', 'a request',
    'BILLING_ACCOUNT', gen_random_uuid())";

const APPEND_REFUSAL: &str = "SELECT audit.append_refusal_of_nobody(gen_random_uuid(),
    'READ_BILLING_ACCOUNT', 'unauthorized', '{}', NULL, '127.0.0.1', 'a request', now(),
    '127.0.0.1', 20)";

const APPEND_REFUSAL_ABOUT_RESOURCE: &str = "SELECT audit.append_refusal_of_nobody(
    gen_random_uuid(), 'READ_BILLING_ACCOUNT', 'unauthorized', '{}', NULL, '127.0.0.1',
    'a request', now(), '127.0.0.1', 20, 'BILLING_ACCOUNT', gen_random_uuid())";

/// What would alter the audit trail or a schema, or prepare that, and what is another service's.
const FORBIDDEN: [&str; 49] = [
    "SELECT FROM audit.record",
    "SELECT FROM audit.chain",
    "SELECT FROM auth.user_account",
    "UPDATE auth.user_account SET role = 'ADMIN'",
    "SELECT auth.names_of('{}')",
    "SELECT FROM billing.account",
    "DELETE FROM billing.account",
    "INSERT INTO audit.record SELECT * FROM audit.record",
    "INSERT INTO audit.record (chain, sequence, id, occurred_at, action, outcome, patient_ids, hash)
     VALUES (0, 1000, gen_random_uuid(), now(), 'LOG_IN', 'FAILED', '{}', '')",
    "UPDATE audit.record SET actor_id = NULL",
    "UPDATE audit.record SET reason = 'none' WHERE false",
    "DELETE FROM audit.record",
    "TRUNCATE audit.record",
    "MERGE INTO audit.record USING audit.chain ON true WHEN MATCHED THEN DELETE",
    "COPY audit.record FROM STDIN",
    "SELECT FROM audit.record FOR UPDATE",
    "LOCK TABLE audit.record IN EXCLUSIVE MODE",
    "INSERT INTO audit.chain VALUES (16)",
    "UPDATE audit.chain SET sequence = 0",
    "DELETE FROM audit.chain",
    "TRUNCATE audit.chain",
    "ALTER TABLE audit.record DISABLE TRIGGER record_is_final",
    "ALTER TABLE audit.record DISABLE TRIGGER ALL",
    "DROP TRIGGER record_is_final ON audit.record",
    "CREATE TRIGGER mine BEFORE INSERT ON audit.record EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE mine AS ON INSERT TO audit.record DO INSTEAD NOTHING",
    "ALTER TABLE audit.record DROP COLUMN hash",
    "ALTER TABLE audit.record OWNER TO CURRENT_USER",
    "DROP TABLE audit.record",
    "DROP SCHEMA audit CASCADE",
    "ALTER SCHEMA audit RENAME TO other",
    "CREATE OR REPLACE FUNCTION audit.append(uuid, uuid, text, text, text, text, uuid[], uuid, text, text, text)
     RETURNS void LANGUAGE sql AS ''",
    "CREATE OR REPLACE FUNCTION audit.append(uuid, uuid, text, text, text, text, uuid[], uuid, text, text, text, text, uuid)
     RETURNS void LANGUAGE sql AS ''",
    "ALTER FUNCTION audit.append(uuid, uuid, text, text, text, text, uuid[], uuid, text, text, text) SECURITY INVOKER",
    "ALTER FUNCTION audit.append(uuid, uuid, text, text, text, text, uuid[], uuid, text, text, text, text, uuid) SECURITY INVOKER",
    "UPDATE audit.record SET hash_version = 1, resource_type = NULL, resource_id = NULL",
    "DROP FUNCTION audit.refuse_change CASCADE",
    "SELECT audit.field('')",
    "SET session_replication_role = 'replica'",
    "CREATE TABLE audit.mine ()",
    "CREATE TABLE patients.mine ()",
    "CREATE TABLE public.mine ()",
    "CREATE TEMPORARY TABLE mine ()",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "ALTER TABLE patients.patient ADD COLUMN mine text",
    "TRUNCATE patients.patient",
    "CREATE INDEX ON billing.account (name)",
    "COPY auth.user_account TO PROGRAM 'cat'",
];

/// A history that its own service could change would be none.
const HISTORY_IS_FINAL: [&str; 3] = [
    "UPDATE patients.patient_version SET actor_id = NULL",
    "DELETE FROM patients.patient_version",
    "TRUNCATE patients.patient_version",
];

const RECORDS_OF_MIGRATIONS: [&str; 4] = [
    "SELECT FROM audit._sqlx_migrations",
    "SELECT FROM auth._sqlx_migrations",
    "SELECT FROM billing._sqlx_migrations",
    "SELECT FROM patients._sqlx_migrations",
];

async fn alters_nothing_but_rows(stage: &Stage) {
    let mut session = stage.log_in().await;
    for statement in FORBIDDEN
        .into_iter()
        .chain(HISTORY_IS_FINAL)
        .chain(RECORDS_OF_MIGRATIONS)
    {
        is_refused(&mut session, statement).await;
    }
    let become_owner = format!("SET ROLE {}", stage.owner.get_username());
    is_refused(&mut session, &become_owner).await;
    session.close().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn a_service_does_with_its_rows_what_it_likes(_: PgPoolOptions, owner: PgConnectOptions) {
    let stage = Stage::provisioned(owner).await;
    let mut session = stage.log_in().await;
    for statement in [
        "INSERT INTO patients.patient (id, version, name, email, address, date_of_birth, registered_date)
         VALUES (gen_random_uuid(), 1, 'Zoë', 'zoe@clinic.example', 'here', '1983-11-14', now())
         RETURNING id",
        "SELECT FROM patients.patient FOR UPDATE",
        "UPDATE patients.patient SET version = version + 1",
        "DELETE FROM patients.patient",
        "INSERT INTO patients.outbox (patient_id, message_id, kind, payload, traceparent)
         VALUES (gen_random_uuid(), gen_random_uuid(), 'PATIENT_EVENT', '', '') RETURNING sequence",
        "SELECT pg_advisory_xact_lock(1)",
        "LOCK TABLE patients.patient IN SHARE ROW EXCLUSIVE MODE",
        "SELECT patients.is_restricted(gen_random_uuid())",
        "SELECT patients.erase(gen_random_uuid())",
        "INSERT INTO patients.patient_version (patient_id, version, kind, snapshot, at)
         VALUES (gen_random_uuid(), 1, 'CREATE', '{}', now()) RETURNING version",
        "SELECT auth.role_now(gen_random_uuid())",
        "SELECT auth.tell_administrators(gen_random_uuid(), gen_random_uuid(), 'a request')",
        APPEND,
        APPEND_ABOUT_RESOURCE,
    ] {
        is_done(&mut session, statement).await;
    }

    for (limit, value) in [
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "15s"),
        ("client_connection_check_interval", "1s"),
    ] {
        let found: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(limit)
            .fetch_one(&mut session)
            .await
            .unwrap();
        assert_eq!(found, value, "{limit}");
    }

    let tables: Vec<(String, bool)> = sqlx::query_as(
        "SELECT relname::text,
             (SELECT bool_and(has_table_privilege(c.oid, privilege))
              FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege)
         FROM pg_class AS c
         WHERE relkind = 'r' AND relname <> '_sqlx_migrations'
             AND relnamespace::regnamespace::text = 'patients'
             AND relname <> 'patient_version'",
    )
    .fetch_all(&mut session)
    .await
    .unwrap();
    assert!(tables.len() >= 4, "{tables:?}");
    for (table, usable) in tables {
        assert!(usable, "{table}");
    }
    session.close().await.unwrap();
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn a_service_cannot_alter_the_audit_trail_or_a_schema(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    let stage = Stage::provisioned(owner).await;
    let mut session = stage.log_in().await;
    sqlx::raw_sql(APPEND).execute(&mut session).await.unwrap();
    session.close().await.unwrap();
    alters_nothing_but_rows(&stage).await;
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn what_it_was_given_besides_is_taken_away(_: PgPoolOptions, owner: PgConnectOptions) {
    let stage = Stage::provisioned(owner).await;
    let role = &stage.role;
    stage
        .as_owner(&format!(
            "GRANT ALL ON SCHEMA audit, auth, billing, patients TO {role};
             GRANT ALL ON ALL TABLES IN SCHEMA audit TO {role};
             GRANT ALL ON ALL TABLES IN SCHEMA patients TO {role};
             GRANT SELECT ON auth.user_account TO {role};
             GRANT UPDATE (role) ON auth.user_account TO PUBLIC;
             GRANT ALL ON billing.account TO PUBLIC;
             GRANT EXECUTE ON FUNCTION auth.names_of TO PUBLIC;
             GRANT UPDATE (reason) ON audit.record TO {role};
             GRANT DELETE ON audit.record TO PUBLIC;
             GRANT EXECUTE ON FUNCTION audit.field TO PUBLIC;
             GRANT CREATE ON SCHEMA public TO PUBLIC;
             GRANT ALL ON DATABASE \"{}\" TO {role};
             GRANT {} TO {role};
             GRANT pg_write_all_data TO {role} WITH INHERIT TRUE;",
            stage.owner.get_database().unwrap(),
            stage.owner.get_username(),
        ))
        .await;
    let mut session = stage.log_in().await;
    is_done(&mut session, "UPDATE audit.chain SET sequence = 7").await;
    session.close().await.unwrap();

    let again = stage.provision().await.unwrap();
    assert!(!again.created);
    alters_nothing_but_rows(&stage).await;
    stage.leave().await;
}

/// The role that Amazon RDS has.
const KNOWN_TO_AWS: &str = "rds_iam";

/// Does this while the server has that role. Without one before, it has none afterwards: one test at a
/// time.
async fn as_on_rds(test: Pin<Box<impl Future<Output = ()>>>) {
    let server = env::var("DATABASE_URL").unwrap();
    let mut server = PgConnection::connect(&server).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(hashtext($1))")
        .bind(KNOWN_TO_AWS)
        .execute(&mut server)
        .await
        .unwrap();
    let had_it: bool = sqlx::query_scalar("SELECT to_regrole($1) IS NOT NULL")
        .bind(KNOWN_TO_AWS)
        .fetch_one(&mut server)
        .await
        .unwrap();
    if !had_it {
        let made = sqlx::query("CREATE ROLE rds_iam NOLOGIN");
        made.execute(&mut server).await.unwrap();
    }
    let ended = AssertUnwindSafe(test).catch_unwind().await;
    if !had_it {
        let dropped = sqlx::query("DROP ROLE rds_iam");
        dropped.execute(&mut server).await.unwrap();
    }
    server.close().await.unwrap();
    if let Err(panic) = ended {
        resume_unwind(panic);
    }
}

/// RDS asks whoever is a member of `rds_iam` for a token, by way of other roles as well.
#[sqlx::test(migrations = false)]
async fn an_owner_who_would_have_no_password_any_more_changes_nothing(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    as_on_rds(Box::pin(async {
        let stage = Stage::migrated(owner).await;
        let (name, all) = (format!("{}_owner", stage.role), stage.owner.get_username());
        for statement in [
            format!("CREATE ROLE {name} LOGIN CREATEROLE PASSWORD 'secret' IN ROLE \"{all}\""),
            format!("GRANT rds_iam TO {name} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"),
        ] {
            stage.as_owner(&statement).await;
        }
        let owner = stage.owner.clone().username(&name).password("secret");
        let refused = set_up_service_roles(&owner, &[stage.login_with_tokens()]).await;
        let reason = format!("{:#}", refused.unwrap_err());
        assert!(
            reason.contains("could not log in with its password"),
            "{reason}"
        );
        let made: Option<String> = sqlx::query_scalar("SELECT to_regrole($1)::text")
            .bind(&stage.role)
            .fetch_one(&mut stage.owner.connect().await.unwrap())
            .await
            .unwrap();
        assert_eq!(made, None);
        stage.as_owner(&format!("DROP ROLE {name}")).await;
    }))
    .await;
}

/// As on Amazon RDS, whose members of `rds_iam` the server asks for tokens. That is not tried here:
/// see the tests of the crate `store`.
#[sqlx::test(migrations = false)]
async fn a_service_that_logs_in_with_tokens_has_no_password(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    as_on_rds(Box::pin(async {
        let stage = Stage::provisioned(owner).await;
        let of_the_role = async || -> (bool, bool) {
            let mut connection = stage.owner.connect().await.unwrap();
            sqlx::query_as(
                "SELECT rolpassword IS NOT NULL, pg_has_role(rolname, 'rds_iam', 'MEMBER')
                 FROM pg_authid WHERE rolname = $1",
            )
            .bind(&stage.role)
            .fetch_one(&mut connection)
            .await
            .unwrap()
        };
        assert_eq!(of_the_role().await, (true, false));

        let login = stage.login_with_tokens();
        for _ in 0..2 {
            let logins = std::slice::from_ref(&login);
            let (provided, _) = set_up_service_roles(&stage.owner, logins).await.unwrap();
            assert!(!provided[0].created);
            assert_eq!(of_the_role().await, (false, true));
        }

        // The way back.
        stage.provision().await.unwrap();
        assert_eq!(of_the_role().await, (true, false));
        alters_nothing_but_rows(&stage).await;
        stage.leave().await;
    }))
    .await;
}

/// PostgreSQL lets everybody do these.
#[sqlx::test(migrations = false)]
async fn what_it_did_with_nobodys_permission_is_undone(_: PgPoolOptions, owner: PgConnectOptions) {
    const LARGE_OBJECTS: i32 = 2_500;
    let stage = Stage::migrated(owner).await;
    let role = &stage.role;
    stage
        .as_owner(&format!("CREATE ROLE {role} LOGIN PASSWORD 'first'"))
        .await;
    let mut session = stage.log_in().await;
    sqlx::query("SELECT count(lo_create(0)) FROM generate_series(1, $1)")
        .bind(LARGE_OBJECTS)
        .execute(&mut session)
        .await
        .unwrap();
    for statement in [
        "SELECT lo_from_bytea(0, 'anything')",
        "ALTER ROLE CURRENT_USER SET statement_timeout = 0",
        "ALTER ROLE CURRENT_USER SET search_path = 'elsewhere'",
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
    ] {
        sqlx::query(statement).execute(&mut session).await.unwrap();
    }
    let database = stage.owner.get_database().unwrap();
    let for_here = format!("ALTER ROLE CURRENT_USER IN DATABASE \"{database}\" SET role = 'none'");
    sqlx::query(AssertSqlSafe(for_here))
        .execute(&mut session)
        .await
        .unwrap();

    for _ in 0..2 {
        stage.provision().await.unwrap();
        let mut session = stage.log_in().await;
        let settings: Vec<Vec<String>> = sqlx::query_scalar(
            "SELECT setconfig FROM pg_db_role_setting WHERE setrole = current_user::regrole",
        )
        .fetch_all(&mut session)
        .await
        .unwrap();
        assert_eq!(settings.len(), 1);
        assert_eq!(settings[0].len(), 4, "{settings:?}");
        assert!(settings[0].contains(&"statement_timeout=5s".to_owned()));
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_largeobject_metadata WHERE lomowner = current_user::regrole",
        )
        .fetch_one(&mut session)
        .await
        .unwrap();
        assert_eq!(left, 0);
        // The owner of this database is a superuser, who may end it.
        for statement in ["SELECT lo_create(0)", "SELECT lo_from_bytea(0, 'anything')"] {
            is_refused(&mut session, statement).await;
        }
    }
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn a_role_that_owns_something_is_refused(_: PgPoolOptions, owner: PgConnectOptions) {
    let mut stage = Stage::provisioned(owner).await;
    stage
        .as_owner(&format!("ALTER TABLE audit.chain OWNER TO {}", stage.role))
        .await;
    let known = std::mem::replace(&mut stage.password, "second".to_owned());
    let reason = stage.refusal().await;
    assert!(reason.contains("owns table audit.chain"), "{reason}");
    // All of it was undone.
    stage.password = known;
    stage.log_in().await.close().await.unwrap();
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn who_may_create_in_any_schema_is_refused(_: PgPoolOptions, owner: PgConnectOptions) {
    let stage = Stage::provisioned(owner).await;
    stage
        .as_owner("CREATE SCHEMA another; GRANT CREATE ON SCHEMA another TO PUBLIC")
        .await;
    let reason = stage.refusal().await;
    assert!(reason.contains("in the schema another"), "{reason}");
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn the_owner_cannot_be_a_service(_: PgPoolOptions, owner: PgConnectOptions) {
    let mut stage = Stage::migrated(owner).await;
    let name = std::mem::replace(&mut stage.role, stage.owner.get_username().to_owned());
    let reason = stage.refusal().await;
    assert!(reason.contains("would own the audit trail"), "{reason}");
    stage.role = name;
    stage.leave().await;
}

/// Its password is somebody's who administers the server.
#[sqlx::test(migrations = false)]
async fn a_role_with_power_over_the_server_is_left_alone(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    let mut stage = Stage::migrated(owner).await;
    for power in [
        "SUPERUSER",
        "CREATEROLE",
        "CREATEDB",
        "REPLICATION",
        "BYPASSRLS",
    ] {
        stage.role = stage
            .another(&format!("LOGIN {power} PASSWORD '{}'", stage.password))
            .await;
        let known = std::mem::replace(&mut stage.password, "another".to_owned());
        let reason = stage.refusal().await;
        assert!(reason.contains("is one of SUPERUSER"), "{reason}");
        stage.password = known;
        stage.log_in().await.close().await.unwrap();
    }
    stage.role = new_name();
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn four_at_the_same_time_make_one_role(_: PgPoolOptions, owner: PgConnectOptions) {
    let stage = Stage::migrated(owner).await;
    let runs = tokio::join!(
        stage.provision(),
        stage.provision(),
        stage.provision(),
        stage.provision(),
    );
    let runs = [runs.0, runs.1, runs.2, runs.3].map(Result::unwrap);
    assert_eq!(runs.iter().filter(|run| run.created).count(), 1, "{runs:?}");
    alters_nothing_but_rows(&stage).await;
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn the_password_is_that_of_the_latest_provisioning(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    let mut stage = Stage::provisioned(owner).await;
    for password in [
        "it's",
        "\\'; DROP ROLE x; --",
        "$$ \" %41 + & / : @ ?",
        "Zoë–密码",
        // Compatible characters are the same password (SASLprep).
        "ﬁve Ⅸ",
        &"x".repeat(500),
    ] {
        let former = std::mem::replace(&mut stage.password, password.to_owned());
        assert!(!stage.provision().await.unwrap().created);
        stage.log_in().await.close().await.unwrap();
        let refused = stage.url(&stage.role, &former).parse::<PgConnectOptions>();
        let refused = refused.unwrap().connect().await.unwrap_err();
        let code = refused.as_database_error().unwrap().code().unwrap();
        assert_eq!(code, "28P01", "{former} after {password}");
    }

    // The functions could not log in with these.
    for password in ["tick\u{0007}tock", "tick 🔑 tock"] {
        let former = std::mem::replace(&mut stage.password, password.to_owned());
        let reason = stage.refusal().await;
        assert!(
            reason.contains("the password in PATIENTS_DATABASE_URL"),
            "{reason}"
        );
        assert!(!reason.contains("tock"), "{reason}");
        stage.password = former;
        stage.log_in().await.close().await.unwrap();
    }
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn an_odd_name_is_a_name(_: PgPoolOptions, owner: PgConnectOptions) {
    let mut stage = Stage::migrated(owner).await;
    stage.role = format!("Zoë's \"$$ {}", Uuid::new_v4().simple());
    assert!(stage.provision().await.unwrap().created);
    alters_nothing_but_rows(&stage).await;
    assert!(!stage.provision().await.unwrap().created);
    let odd = std::mem::replace(&mut stage.role, "x".repeat(64));
    let reason = stage.refusal().await;
    assert!(reason.contains("longer than 63 bytes"), "{reason}");
    stage.role = odd;
    stage.leave().await;
}

/// As the master user of a managed PostgreSQL, who is no superuser.
#[sqlx::test(migrations = false)]
async fn an_owner_needs_no_more_than_to_create_roles(_: PgPoolOptions, owner: PgConnectOptions) {
    let mut stage = Stage {
        owner,
        role: new_name(),
        password: "first".to_owned(),
        others: Vec::new(),
    };
    let name = stage.another("LOGIN PASSWORD 'owner'").await;
    let database = stage.owner.get_database().unwrap();
    stage
        .as_owner(&format!("ALTER DATABASE \"{database}\" OWNER TO {name}"))
        .await;
    let clerk = stage.owner.clone().username(&name).password("owner");
    run_migrations(&clerk, Patience::default()).await.unwrap();

    let refused = stage.provision_as(&clerk).await.unwrap_err();
    let reason = format!("{refused:#}");
    assert!(
        reason.contains("give") && reason.contains("CREATEROLE"),
        "{reason}"
    );

    stage
        .as_owner(&format!("ALTER ROLE {name} CREATEROLE"))
        .await;
    assert!(stage.provision_as(&clerk).await.unwrap().created);
    assert!(!stage.provision_as(&clerk).await.unwrap().created);
    alters_nothing_but_rows(&stage).await;
    let mut session = stage.log_in().await;
    is_done(&mut session, APPEND).await;
    is_refused(&mut session, &format!("SET ROLE {name}")).await;
    session.close().await.unwrap();

    // One that somebody else has made.
    let made = std::mem::replace(&mut stage.role, new_name());
    stage.others.insert(0, made);
    stage.as_owner(&format!("CREATE ROLE {}", stage.role)).await;
    let refused = stage.provision_as(&clerk).await.unwrap_err();
    let reason = format!("{refused:#}");
    assert!(reason.contains("WITH ADMIN OPTION"), "{reason}");
    stage
        .as_owner(&format!("GRANT {} TO {name} WITH ADMIN OPTION", stage.role))
        .await;
    assert!(!stage.provision_as(&clerk).await.unwrap().created);
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn later_tables_are_the_services_after_the_next_provisioning(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    let stage = Stage::provisioned(owner).await;
    stage
        .as_owner("CREATE TABLE patients.later (id bigserial); CREATE TABLE audit.later ()")
        .await;
    let mut session = stage.log_in().await;
    let insert = "INSERT INTO patients.later DEFAULT VALUES";
    is_refused(&mut session, insert).await;
    stage.provision().await.unwrap();
    is_done(&mut session, insert).await;
    is_refused(&mut session, "SELECT FROM audit.later").await;
    session.close().await.unwrap();
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn both_urls_have_to_lead_to_the_same_database(_: PgPoolOptions, owner: PgConnectOptions) {
    let stage = Stage::provisioned(owner).await;
    let elsewhere = stage.url(&stage.role, &stage.password).replace(
        stage.owner.get_database().unwrap(),
        // Every server has it, and everybody may connect.
        "postgres",
    );
    let login = Login::from_url(service("patients"), &elsewhere).unwrap();
    let refused = provide_service_roles(&stage.owner, &[login])
        .await
        .unwrap_err();
    let reason = format!("{refused:#}");
    assert!(reason.contains("another database than"), "{reason}");
    stage.leave().await;
}

/// Whoever the pool belongs to, requests go on while the role is put right again.
#[sqlx::test(migrations = false)]
async fn provisioning_disturbs_no_request(_: PgPoolOptions, owner: PgConnectOptions) {
    let stage = Stage::provisioned(owner).await;
    let pool = PgPool::connect_with(stage.options()).await.unwrap();
    let requests = async {
        for _ in 0..200 {
            sqlx::raw_sql(APPEND).execute(&pool).await.unwrap();
            sqlx::query("SELECT FROM patients.patient")
                .execute(&pool)
                .await
                .unwrap();
        }
    };
    let provisioning = async {
        for _ in 0..5 {
            stage.provision().await.unwrap();
        }
    };
    tokio::join!(requests, provisioning);
    pool.close().await;
    stage.leave().await;
}

/// Every table, every function that its owner has not kept to itself, and every service: what is
/// somebody else's is refused, and what is published is done by those who are known to call it.
#[sqlx::test(migrations = false)]
async fn a_service_has_its_own_rows_and_what_others_publish_for_it(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    const CALLS: [(&str, &str, &[&str]); 25] = [
        (
            "audit.append",
            APPEND,
            &[
                "appointments",
                "audit",
                "auth",
                "billing",
                "notifications",
                "patients",
            ],
        ),
        (
            "audit.append",
            APPEND_ABOUT_RESOURCE,
            &[
                "appointments",
                "audit",
                "auth",
                "billing",
                "notifications",
                "patients",
            ],
        ),
        ("audit.append_refusal_of_nobody", APPEND_REFUSAL, &["audit"]),
        (
            "audit.append_refusal_of_nobody",
            APPEND_REFUSAL_ABOUT_RESOURCE,
            &["audit"],
        ),
        (
            "audit.append_refusal_counts",
            "SELECT audit.append_refusal_counts()",
            &["audit"],
        ),
        (
            "billing.schema_version",
            "SELECT billing.schema_version()",
            &["billing"],
        ),
        (
            "audit.note_verified",
            "SELECT audit.note_verified(0::smallint, 1, '')",
            &["audit"],
        ),
        (
            "auth.role_now",
            "SELECT auth.role_now(gen_random_uuid())",
            &["auth", "patients"],
        ),
        (
            "auth.names_of",
            "SELECT auth.names_of(ARRAY[gen_random_uuid()])",
            &["audit", "auth"],
        ),
        (
            "auth.tell_administrators",
            "SELECT auth.tell_administrators(gen_random_uuid(), gen_random_uuid(), 'a request')",
            &["auth", "patients"],
        ),
        (
            "billing.document_of",
            "SELECT FROM billing.document_of(gen_random_uuid())",
            &["billing", "notifications"],
        ),
        (
            "billing.statement_of",
            "SELECT FROM billing.statement_of(gen_random_uuid())",
            &["billing", "notifications"],
        ),
        (
            "notifications.send_invoice",
            "SELECT notifications.send_invoice(gen_random_uuid(), gen_random_uuid(), now())",
            &["billing", "notifications"],
        ),
        (
            "billing.erase_credit_reasons",
            "SELECT billing.erase_credit_reasons(gen_random_uuid())",
            &["billing"],
        ),
        (
            "notifications.send_statement",
            "SELECT notifications.send_statement(gen_random_uuid(), gen_random_uuid(), now())",
            &["billing", "notifications"],
        ),
        (
            "patients.is_restricted",
            "SELECT patients.is_restricted(gen_random_uuid())",
            &["appointments", "billing", "notifications", "patients"],
        ),
        (
            "patients.is_known",
            "SELECT patients.is_known(gen_random_uuid())",
            &["appointments", "patients"],
        ),
        (
            "patients.ids_of",
            "SELECT patients.ids_of(gen_random_uuid())",
            &[
                "appointments",
                "audit",
                "billing",
                "notifications",
                "patients",
            ],
        ),
        (
            "patients.account_to_open",
            "SELECT patients.account_to_open(gen_random_uuid())",
            &["billing", "patients"],
        ),
        (
            "patients.canonical",
            "SELECT patients.canonical(gen_random_uuid())",
            &["billing", "patients"],
        ),
        (
            "patients.erase",
            "SELECT patients.erase(gen_random_uuid())",
            &["patients"],
        ),
        (
            "patients.contact_of",
            "SELECT patients.contact_of(gen_random_uuid())",
            &["notifications", "patients"],
        ),
        (
            "appointments.for_message",
            "SELECT appointments.for_message(gen_random_uuid())",
            &["appointments", "notifications"],
        ),
        (
            "appointments.changed_since",
            "SELECT appointments.changed_since(now())",
            &["appointments", "billing"],
        ),
        (
            "appointments.fulfilled_since",
            "SELECT appointments.fulfilled_since(now())",
            &["appointments", "billing"],
        ),
    ];
    let clinic = Clinic::open(owner).await;
    let mut observer = clinic.stage.owner.connect().await.unwrap();
    let tables: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT nspname::text, relname::text,
             (SELECT attname::text FROM pg_attribute
              WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND attidentity = ''
              LIMIT 1),
             (SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
              WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
                  AND attgenerated = '')
         FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE relkind = 'r' AND nspname IN (
             'appointments', 'audit', 'auth', 'billing', 'notifications', 'patients'
         )",
    )
    .fetch_all(&mut observer)
    .await
    .unwrap();
    let of_others = tables.iter().map(|(schema, ..)| schema.as_str());
    assert_eq!(of_others.collect::<BTreeSet<_>>().len(), 6, "{tables:?}");

    for service in &SERVICES {
        let mut session = clinic.log_in(service).await;
        for (schema, table, column, columns) in &tables {
            let is_own = schema == service.name && table != "_sqlx_migrations";
            let read = format!("SELECT FROM {schema}.{table}");
            if is_own {
                is_done(&mut session, &read).await;
            } else {
                is_refused(&mut session, &read).await;
            }
            for write in [
                format!("UPDATE {schema}.{table} SET {column} = {column}"),
                format!("DELETE FROM {schema}.{table} WHERE false"),
                format!(
                    "INSERT INTO {schema}.{table} ({columns}) OVERRIDING SYSTEM VALUE
                     SELECT {columns} FROM {schema}.{table} WHERE false"
                ),
            ] {
                let name = format!("{schema}.{table}");
                let is_final = service.adds_to.contains(&&*name) && !write.starts_with("INSERT");
                if is_own && schema != "audit" && !is_final {
                    is_done(&mut session, &write).await;
                } else {
                    is_refused(&mut session, &write).await;
                }
            }
        }
        for (function, call, callers) in CALLS {
            let code = refusal(&mut session, call).await;
            let name = service.name;
            if callers.contains(&name) {
                assert_eq!(code, None, "{name} calls {function}");
            } else {
                assert_eq!(code.as_deref(), Some("42501"), "{name} calls {function}");
            }
        }
        session.close().await.unwrap();
    }

    // Whatever else somebody may call is their own, or nobody's to call: a trigger's.
    let callable: Vec<(String, String)> = sqlx::query_as(
        "SELECT role, nspname || '.' || proname
         FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace,
             unnest($1::text[]) AS role
         WHERE nspname IN
             ('appointments', 'audit', 'auth', 'billing', 'notifications', 'patients')
             AND prorettype <> 'trigger'::regtype
             AND has_function_privilege(role, pg_proc.oid, 'EXECUTE')",
    )
    .bind(&clinic.stage.others)
    .fetch_all(&mut observer)
    .await
    .unwrap();
    for (role, function) in &callable {
        let known = CALLS.iter().any(|(name, ..)| name == function);
        assert!(known, "{role} may call {function}");
    }
    let expected: usize = CALLS.iter().map(|(.., callers)| callers.len()).sum();
    assert_eq!(callable.len(), expected, "{callable:?}");
    observer.close().await.unwrap();
    clinic.stage.leave().await;
}

/// Somebody may have published one in a migration, and granted it to everybody.
#[sqlx::test(migrations = false)]
async fn a_function_that_nobody_is_known_to_call_is_not_granted(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    let clinic = Clinic::open(owner).await;
    clinic
        .stage
        .as_owner(
            "CREATE FUNCTION auth.later() RETURNS void LANGUAGE sql SECURITY DEFINER AS '';
             GRANT EXECUTE ON FUNCTION auth.later TO PUBLIC",
        )
        .await;
    clinic.provision().await;
    for service in &SERVICES {
        let mut session = clinic.log_in(service).await;
        let code = refusal(&mut session, "SELECT auth.later()").await;
        let refused = (service.name != "auth").then_some("42501");
        assert_eq!(code.as_deref(), refused, "{}", service.name);
        session.close().await.unwrap();
    }
    clinic.stage.leave().await;
}

/// While a function takes the place of another, callers of both are there.
#[sqlx::test(migrations = false)]
async fn a_function_may_be_there_with_the_parameters_of_then_and_of_now(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    let stage = Stage::provisioned(owner).await;
    stage
        .as_owner("CREATE FUNCTION auth.role_now(text) RETURNS text LANGUAGE sql AS 'SELECT NULL'")
        .await;
    stage.provision().await.unwrap();
    let mut session = stage.log_in().await;
    for call in [
        "SELECT auth.role_now(gen_random_uuid())",
        "SELECT auth.role_now('somebody'::text)",
    ] {
        is_done(&mut session, call).await;
    }
    session.close().await.unwrap();
    stage.leave().await;
}

/// Two deployments on one server would change each other's passwords.
#[sqlx::test(migrations = false)]
async fn a_role_of_another_database_is_refused(_: PgPoolOptions, owner: PgConnectOptions) {
    let mut stage = Stage::provisioned(owner).await;
    let other = format!("clinic_{}", Uuid::new_v4().simple());
    stage.as_owner(&format!("CREATE DATABASE {other}")).await;
    let elsewhere = stage.owner.clone().database(&other);
    let here = std::mem::replace(&mut stage.owner, elsewhere);
    run_migrations(&stage.owner, Patience::default())
        .await
        .unwrap();
    let known = std::mem::replace(&mut stage.password, "second".to_owned());
    let reason = stage.refusal().await;
    assert!(reason.contains("privileges in the database"), "{reason}");
    stage.owner = here;
    stage.password = known;
    stage.log_in().await.close().await.unwrap();
    stage
        .as_owner(&format!("DROP DATABASE {other} WITH (FORCE)"))
        .await;
    stage.leave().await;
}
