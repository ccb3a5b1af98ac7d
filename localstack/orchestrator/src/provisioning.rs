//! Filling a deployed stack with what it needs to be used: schemas, topics, the signing
//! key, and people who may log in.

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;

use crate::deployment::{self, Aws, Deployed};
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::progress::Step;
use crate::settings::Settings;
use crate::template::Function;
use crate::tool::Tool;

/// The program of the function that does it.
const PROVISION: &str = "provision";

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
}

/// One for every role; the first is the one that is shown.
pub const DEMO_USERS: [DemoUser; 4] = [
    DemoUser {
        email: "testuser@test.com",
        password: "password123",
        role: "ADMIN",
    },
    DemoUser {
        email: "clinician@clinic.example",
        password: "clinician-demo-password",
        role: "CLINICIAN",
    },
    DemoUser {
        email: "receptionist@clinic.example",
        password: "receptionist-demo-password",
        role: "RECEPTIONIST",
    },
    DemoUser {
        email: "auditor@clinic.example",
        password: "auditor-demo-password",
        role: "AUDITOR",
    },
];

/// Calls the function, unless that has been done with the same code since the last
/// deployment.
///
/// # Errors
/// If the function fails, with its own words.
pub fn provision(
    settings: &Settings,
    step: &Step<'_>,
    aws: &Aws<'_>,
    functions: &[Function],
    deployed: &mut Deployed,
) -> Result<()> {
    let function = functions
        .iter()
        .find(|function| function.binary == PROVISION)
        .with_context(|| format!("the template has no function that runs {PROVISION}"))?;
    let payload = serde_json::to_vec(&json!({ "users": DEMO_USERS }))?;
    let with = Fingerprint::default()
        .with(&payload)
        .with(deployed.code_of(PROVISION).unwrap_or_default())
        .finish();
    if deployed.provisioned.as_ref() == Some(&with) {
        step.result("done before");
        return Ok(());
    }
    let path = settings.directory.join("deploy/provision.json");
    files::replace(&path, &payload)?;
    let tool = Tool::new(step, &settings.log("provision"))?;
    let answer = aws.invoke(&tool, &function.name, &path)?;
    step.result(answer.to_string());
    deployment::remember_provisioning(settings, deployed, with)
}
