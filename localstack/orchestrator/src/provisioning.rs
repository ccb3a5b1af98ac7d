//! Filling a deployed stack with what it needs to be used: schemas, topics, the signing
//! key, and people who may log in.

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;

use crate::deployed::Deployed;
use crate::deployment::Aws;
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::progress::Step;
use crate::settings::Settings;
use crate::template::Function;
use crate::tool::Tool;

/// The programs of the functions that do it, in this order. Both get the same payload,
/// and doing it again changes nothing.
pub const PROGRAMS: [&str; 2] = ["provision", "create-users"];

/// Somebody who may log in to a local stack. The passwords are no secrets: they are in
/// the repository, and the stack is on this machine only.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DemoUser {
    /// Who.
    pub email: &'static str,
    /// What they type.
    pub password: &'static str,
    /// What they may do.
    pub role: &'static str,
    /// What they are called.
    pub name: &'static str,
}

/// One for every role; the first is the one that is shown.
pub const DEMO_USERS: [DemoUser; 4] = [
    DemoUser {
        email: "testuser@test.com",
        password: "password123",
        role: "ADMIN",
        name: "Tessa Usher",
    },
    DemoUser {
        email: "clinician@clinic.example",
        password: "clinician-demo-password",
        role: "CLINICIAN",
        name: "Clara Heath",
    },
    DemoUser {
        email: "receptionist@clinic.example",
        password: "receptionist-demo-password",
        role: "RECEPTIONIST",
        name: "Rufus Bell",
    },
    DemoUser {
        email: "auditor@clinic.example",
        password: "auditor-demo-password",
        role: "AUDITOR",
        name: "Aubrey Marsh",
    },
];

/// Calls the functions, unless that has been done with the same code since the last
/// deployment.
///
/// # Errors
/// If a function fails, with its own words.
pub fn provision(
    settings: &Settings,
    step: &Step<'_>,
    aws: &Aws<'_>,
    functions: &[Function],
    deployed: &mut Deployed,
) -> Result<()> {
    let payload = serde_json::to_vec(&json!({ "users": DEMO_USERS }))?;
    let with = PROGRAMS
        .iter()
        .fold(
            Fingerprint::default().with(&payload),
            |fingerprint, program| fingerprint.with(deployed.code_of(program).unwrap_or_default()),
        )
        .finish();
    if deployed.provisioned.as_ref() == Some(&with) {
        step.result("done before");
        return Ok(());
    }
    let path = settings.directory.join("deploy/provision.json");
    files::replace(&path, &payload)?;
    let tool = Tool::new(step, &settings.log("provision"))?;
    for program in PROGRAMS {
        let function = functions
            .iter()
            .find(|function| function.binary == program)
            .with_context(|| format!("the template has no function that runs {program}"))?;
        step.doing(format!("calling {}", function.name));
        let answer = aws.invoke(&tool, &function.name, &path)?;
        tool.note(&format!("{} answered {answer}", function.name))?;
    }
    step.result(format!(
        "{} users; details in {}",
        DEMO_USERS.len(),
        tool.log().display()
    ));
    deployed.remember_provisioning(settings, with)
}
