use auth::create_users::{CreateUsersError, CreatedUsers, PasswordRules, create_users};
use serde_json::{Value, json};
use sqlx::PgPool;

fn user(email: &str) -> Value {
    json!({ "email": email, "password": "a fine long day", "role": "ADMIN" })
}

async fn accounts(database: &PgPool) -> Vec<(String, String, String)> {
    sqlx::query_as("SELECT email, role, password_hash FROM auth.user_account ORDER BY email")
        .fetch_all(database)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn create_users_leaves_existing_accounts_unchanged(database: PgPool) {
    let first = json!({ "users": [user("Zoe@Clinic.example")] });
    let users = create_users(&database, PasswordRules::Full, first.clone())
        .await
        .unwrap();
    assert_eq!(
        users,
        CreatedUsers {
            created: 1,
            existing: 0
        }
    );
    let before = accounts(&database).await;
    assert_eq!(before[0].0, "zoe@clinic.example");
    assert!(before[0].2.starts_with("$argon2id$"));

    let changed =
        json!({ "email": "zoe@clinic.example", "password": "another fine day", "role": "AUDITOR" });
    let again =
        json!({ "users": [changed, user("max@clinic.example"), user("MAX@clinic.example")] });
    let users = create_users(&database, PasswordRules::Full, again)
        .await
        .unwrap();
    assert_eq!(
        users,
        CreatedUsers {
            created: 1,
            existing: 2
        }
    );
    assert_eq!(accounts(&database).await[1], before[0]);
    assert_eq!(
        serde_json::to_value(users).unwrap(),
        json!({ "created": 1, "existing": 2 })
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn create_users_stores_the_name_if_given(database: PgPool) {
    let mut zoe = user("zoe@clinic.example");
    zoe["name"] = json!(" Zoe  Kiefer");
    let users = json!({ "users": [zoe, user("max@clinic.example")] });
    create_users(&database, PasswordRules::Full, users)
        .await
        .unwrap();
    let names: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT email, name FROM auth.user_account ORDER BY email DESC")
            .fetch_all(&database)
            .await
            .unwrap();
    let names: Vec<_> = names.iter().map(|(_, name)| name.as_deref()).collect();
    assert_eq!(names, [Some("Zoe Kiefer"), None]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn concurrent_calls_of_create_users_create_each_user_once(database: PgPool) {
    let emails: Vec<String> = (0..4).map(|n| format!("user{n}@clinic.example")).collect();
    let forwards: Vec<Value> = emails.iter().map(|email| user(email)).collect();
    let backwards: Vec<Value> = forwards.iter().rev().cloned().collect();
    let (one, other) = tokio::join!(
        create_users(&database, PasswordRules::Full, json!({ "users": forwards })),
        create_users(
            &database,
            PasswordRules::Full,
            json!({ "users": backwards })
        ),
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.created + other.created, 4);
    assert_eq!(one.existing + other.existing, 4);
    assert_eq!(accounts(&database).await.len(), 4);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn create_users_rejects_invalid_input_as_a_whole_without_repeating_it(database: PgPool) {
    let good = user("zoe@clinic.example");
    let with = |field: &str, value: Value| {
        let mut user = user("max@clinic.example");
        user[field] = value;
        json!({ "users": [good, user] })
    };
    let too_many: Vec<Value> = (0..51)
        .map(|n| user(&format!("u{n}@clinic.example")))
        .collect();
    let cases = [
        (json!(null), ".: has a wrong or missing value"),
        (json!({}), ".: has a wrong or missing value"),
        (
            json!({ "users": ["hunter2"] }),
            "users[0]: has a wrong or missing value",
        ),
        (
            json!({ "users": too_many }),
            "users: must not be more than 50",
        ),
        (
            json!({ "users": [{ "email": "a@b.example" }] }),
            "users[0]: has a wrong or missing value",
        ),
        (
            with("email", json!("nobody")),
            "users[1].email: Email should be valid",
        ),
        (
            with("email", json!("a\0@b.example")),
            "users[1].email: Email cannot contain control characters",
        ),
        (
            with("password", json!("hunter2")),
            "users[1].password: Password must have at least 12 characters",
        ),
        (
            with("password", json!("hunter2".repeat(20))),
            "users[1].password: Password cannot exceed 128 characters",
        ),
        (
            with("password", json!(["hunter2"])),
            "users[1].password: has a wrong or missing value",
        ),
        (
            with("name", json!("a\0b")),
            "users[1].name: Name cannot contain control characters",
        ),
        (
            with("role", json!("hunter2")),
            "users[1].role: has a wrong or missing value",
        ),
        (
            with("disabled", json!("hunter2")),
            "users[1].disabled: has a wrong or missing value",
        ),
    ];
    for (input, expected) in cases {
        match create_users(&database, PasswordRules::Full, input).await {
            Err(CreateUsersError::Invalid(reason)) => {
                assert_eq!(reason, expected);
                assert!(!reason.contains("hunter2"));
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert_eq!(accounts(&database).await, []);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn only_demo_users_may_have_well_known_passwords(database: PgPool) {
    let mut demo = user("testuser@test.com");
    demo["password"] = json!("password123");
    let users = json!({ "users": [demo] });
    let refused = create_users(&database, PasswordRules::Full, users.clone()).await;
    assert!(matches!(refused, Err(CreateUsersError::Invalid(_))));
    let created = create_users(&database, PasswordRules::Demo, users).await;
    assert_eq!(created.unwrap().created, 1);
}
