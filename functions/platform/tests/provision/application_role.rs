//! The application's role: what it can do, what it cannot, and how it comes to be so. Roles
//! belong to the whole server, so each test has one of its own and drops it.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use platform::provision::{Application, ProvidedRole, provide_application_role, run_migrations};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

/// A database with its owner, and a role that is about to be the application's.
pub(crate) struct Stage {
    pub(crate) owner: PgConnectOptions,
    pub(crate) role: String,
    pub(crate) password: String,
    others: Vec<String>,
}

impl Stage {
    /// After the migrations, and before the role is there.
    pub(crate) async fn migrated(owner: PgConnectOptions) -> Self {
        run_migrations(&owner).await.unwrap();
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
        provide_application_role(owner, &Application::from_url(&url)?).await
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

    pub(crate) fn application(&self) -> PgConnectOptions {
        self.url(&self.role, &self.password).parse().unwrap()
    }

    pub(crate) async fn log_in(&self) -> PgConnection {
        self.application().connect().await.unwrap()
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
    format!("application_{}", Uuid::new_v4().simple())
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

/// What would alter the audit trail or a schema, or prepare that.
const FORBIDDEN: [&str; 42] = [
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

const RECORDS_OF_MIGRATIONS: [&str; 4] = [
    "SELECT FROM audit._sqlx_migrations",
    "SELECT FROM auth._sqlx_migrations",
    "SELECT FROM billing._sqlx_migrations",
    "SELECT FROM patients._sqlx_migrations",
];

async fn alters_nothing_but_rows(stage: &Stage) {
    let mut application = stage.log_in().await;
    for statement in FORBIDDEN.into_iter().chain(RECORDS_OF_MIGRATIONS) {
        is_refused(&mut application, statement).await;
    }
    let become_owner = format!("SET ROLE {}", stage.owner.get_username());
    is_refused(&mut application, &become_owner).await;
    application.close().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn the_application_does_what_the_services_do(_: PgPoolOptions, owner: PgConnectOptions) {
    let stage = Stage::provisioned(owner).await;
    let mut application = stage.log_in().await;
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
        "SELECT EXISTS (SELECT FROM billing.account)",
        "LOCK TABLE auth.user_account IN SHARE ROW EXCLUSIVE MODE",
        "SELECT FROM audit.record",
        "SELECT FROM audit.chain",
        APPEND,
        APPEND_ABOUT_RESOURCE,
        APPEND_REFUSAL,
        APPEND_REFUSAL_ABOUT_RESOURCE,
    ] {
        is_done(&mut application, statement).await;
    }

    for (limit, value) in [
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "15s"),
        ("client_connection_check_interval", "1s"),
    ] {
        let found: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(limit)
            .fetch_one(&mut application)
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
             AND relnamespace::regnamespace::text IN ('auth', 'billing', 'patients')",
    )
    .fetch_all(&mut application)
    .await
    .unwrap();
    assert!(tables.len() >= 6, "{tables:?}");
    for (table, usable) in tables {
        assert!(usable, "{table}");
    }
    application.close().await.unwrap();
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn the_application_cannot_alter_the_audit_trail_or_a_schema(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    let stage = Stage::provisioned(owner).await;
    let mut application = stage.log_in().await;
    sqlx::raw_sql(APPEND)
        .execute(&mut application)
        .await
        .unwrap();
    application.close().await.unwrap();
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
    let mut application = stage.log_in().await;
    is_done(&mut application, "UPDATE audit.chain SET sequence = 7").await;
    application.close().await.unwrap();

    let again = stage.provision().await.unwrap();
    assert!(!again.created);
    alters_nothing_but_rows(&stage).await;
    stage.leave().await;
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
    let mut application = stage.log_in().await;
    sqlx::query("SELECT count(lo_create(0)) FROM generate_series(1, $1)")
        .bind(LARGE_OBJECTS)
        .execute(&mut application)
        .await
        .unwrap();
    for statement in [
        "SELECT lo_from_bytea(0, 'anything')",
        "ALTER ROLE CURRENT_USER SET statement_timeout = 0",
        "ALTER ROLE CURRENT_USER SET search_path = 'elsewhere'",
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
    ] {
        sqlx::query(statement)
            .execute(&mut application)
            .await
            .unwrap();
    }
    let database = stage.owner.get_database().unwrap();
    let for_here = format!("ALTER ROLE CURRENT_USER IN DATABASE \"{database}\" SET role = 'none'");
    sqlx::query(AssertSqlSafe(for_here))
        .execute(&mut application)
        .await
        .unwrap();

    for _ in 0..2 {
        stage.provision().await.unwrap();
        let mut application = stage.log_in().await;
        let settings: Vec<Vec<String>> = sqlx::query_scalar(
            "SELECT setconfig FROM pg_db_role_setting WHERE setrole = current_user::regrole",
        )
        .fetch_all(&mut application)
        .await
        .unwrap();
        assert_eq!(settings.len(), 1);
        assert_eq!(settings[0].len(), 4, "{settings:?}");
        assert!(settings[0].contains(&"statement_timeout=5s".to_owned()));
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_largeobject_metadata WHERE lomowner = current_user::regrole",
        )
        .fetch_one(&mut application)
        .await
        .unwrap();
        assert_eq!(left, 0);
        // The owner of this database is a superuser, who may end it.
        for statement in ["SELECT lo_create(0)", "SELECT lo_from_bytea(0, 'anything')"] {
            is_refused(&mut application, statement).await;
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
async fn the_owner_cannot_be_the_application(_: PgPoolOptions, owner: PgConnectOptions) {
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
        assert!(reason.contains("the password in DATABASE_URL"), "{reason}");
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
    run_migrations(&clerk).await.unwrap();

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
    let mut application = stage.log_in().await;
    is_done(&mut application, APPEND).await;
    is_refused(&mut application, &format!("SET ROLE {name}")).await;
    application.close().await.unwrap();

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
async fn later_tables_are_the_applications_after_the_next_provisioning(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    let stage = Stage::provisioned(owner).await;
    stage
        .as_owner("CREATE TABLE patients.later (id bigserial); CREATE TABLE audit.later ()")
        .await;
    let mut application = stage.log_in().await;
    let insert = "INSERT INTO patients.later DEFAULT VALUES";
    is_refused(&mut application, insert).await;
    stage.provision().await.unwrap();
    is_done(&mut application, insert).await;
    is_refused(&mut application, "SELECT FROM audit.later").await;
    application.close().await.unwrap();
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
    let application = Application::from_url(&elsewhere).unwrap();
    let refused = provide_application_role(&stage.owner, &application)
        .await
        .unwrap_err();
    let reason = format!("{refused:#}");
    assert!(reason.contains("different databases"), "{reason}");
    stage.leave().await;
}

/// Whoever the pool belongs to, requests go on while the role is put right again.
#[sqlx::test(migrations = false)]
async fn provisioning_disturbs_no_request(_: PgPoolOptions, owner: PgConnectOptions) {
    let stage = Stage::provisioned(owner).await;
    let pool = PgPool::connect_with(stage.application()).await.unwrap();
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
