//! Deploying to LocalStack: what has changed where LocalStack changes it reliably, otherwise
//! everything, with SAM.

mod aws;
mod change;
mod change_set;
mod endpoint;
mod in_place;
mod verification;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use self::aws::Delivery;
pub use self::aws::{Aws, REGION, environment};
use self::endpoint::Endpoint;
use crate::build::Built;
use crate::deployed::{self, Deployed};
use crate::endpoints::Endpoints;
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::progress::Step;
use crate::service::Service;
use crate::services::postgres::service_roles::password_of_parameter;
use crate::services::{certificates, kafka, localstack};
use crate::settings::Settings;
use crate::template::{Function, Template};
use crate::tool::Tool;

/// The output of the template that says where the API is.
const API_URL: &str = "ApiUrl";

/// What has to be done to get from what is deployed to what should be.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Nothing.
    Keep(Deployed),
    /// New code for some functions, by program.
    Update(Deployed, Vec<String>),
    /// Another template.
    Change(Deployed),
    /// All of it.
    Deploy,
}

/// A deployment of what has been built.
pub struct Deployment<'a> {
    settings: &'a Settings,
    endpoints: &'a Endpoints,
    functions: &'a [Function],
    built: &'a Built,
    delivery: Delivery,
    /// The template with the code in it, as it is deployed.
    template: String,
    /// The template without the code, for only the code may change by itself.
    frame: String,
    parameters: Vec<(String, String)>,
}

impl<'a> Deployment<'a> {
    /// Takes the template with the code where it has been built.
    ///
    /// # Errors
    /// If a secret of the stack cannot be read or made.
    pub fn new(
        settings: &'a Settings,
        endpoints: &'a Endpoints,
        template: &Template,
        functions: &'a [Function],
        built: &'a Built,
    ) -> Result<Self> {
        let delivery = if settings.starts(Service::Localstack) {
            Delivery::InPlace
        } else {
            Delivery::Uploaded
        };
        let location = |binary: &str| Some(delivery.code_uri(&built.functions.get(binary)?.folder));
        Ok(Self {
            settings,
            endpoints,
            functions,
            built,
            delivery,
            template: template.deployable(&settings.repository, location),
            frame: template.deployable(&settings.repository, |_| None),
            parameters: parameters(template, endpoints, settings)?,
        })
    }

    /// Stores what the functions need before they are there: LocalStack forgets it when it ends.
    ///
    /// # Errors
    /// If LocalStack does not take it.
    pub fn store_secrets(&self) -> Result<()> {
        if !self.settings.starts(Service::Kafka) {
            return Ok(());
        }
        Endpoint::new(&self.endpoints.localstack_url).store_secret(
            &kafka_secret_name(self.settings),
            &kafka::credentials(self.settings)?,
        )
    }

    /// What LocalStack has of an earlier template, if it has one.
    ///
    /// # Errors
    /// If LocalStack does not answer.
    pub fn of_another_template(&self) -> Result<Option<Deployed>> {
        let wanted = self.wanted()?;
        let before = Deployed::read(self.settings, &wanted.session)?;
        Ok(match plan(before, &wanted) {
            Plan::Change(before) => Some(before),
            Plan::Keep(_) | Plan::Update(..) | Plan::Deploy => None,
        })
    }

    /// Deploys what is different from what is deployed.
    ///
    /// # Errors
    /// If SAM or LocalStack refuses.
    pub fn deploy(&self, step: &Step<'_>, aws: &Aws<'_>) -> Result<Deployed> {
        let wanted = self.wanted()?;
        match plan(Deployed::read(self.settings, &wanted.session)?, &wanted) {
            Plan::Keep(deployed) => {
                step.result("nothing has changed");
                Ok(deployed)
            }
            Plan::Update(deployed, binaries) => {
                let deployed = self.update(step, aws, deployed, &binaries)?;
                step.result(if binaries.len() > 3 {
                    format!("updated {} functions", binaries.len())
                } else {
                    format!("updated {}", binaries.join(", "))
                });
                Ok(deployed)
            }
            Plan::Change(_) | Plan::Deploy => {
                let deployed = self.deploy_everything(step, aws, wanted)?;
                step.result(format!("{} functions", self.functions.len()));
                Ok(deployed)
            }
        }
    }

    fn update(
        &self,
        step: &Step<'_>,
        aws: &Aws<'_>,
        mut deployed: Deployed,
        binaries: &[String],
    ) -> Result<Deployed> {
        let tool = Tool::new(step, &self.settings.log("deploy"))?;
        let mut updated = Vec::new();
        for binary in binaries {
            let function = self.functions.iter().find(|known| known.binary == *binary);
            let (function, code) = function
                .zip(self.built.functions.get(binary))
                .with_context(|| format!("{binary} was not built"))?;
            step.doing(format!("updating {}", function.name));
            aws.update_code(&tool, &function.name, self.delivery, &code.folder)?;
            updated.push((&function.name, binary, code));
        }
        for (name, binary, code) in updated {
            step.doing(format!("waiting for {name}"));
            aws.await_update(step, name)?;
            deployed
                .functions
                .insert(binary.clone(), code.fingerprint.clone());
        }
        deployed.remember(self.settings)?;
        self.built.remove_earlier()?;
        Ok(deployed)
    }

    fn deploy_everything(
        &self,
        step: &Step<'_>,
        aws: &Aws<'_>,
        wanted: Deployed,
    ) -> Result<Deployed> {
        deployed::discard(self.settings)?;
        let template = self.template_file();
        files::replace(&template, self.template.as_bytes())?;
        let tool = Tool::new(step, &self.settings.log("deploy"))?;
        let stack_name = &self.settings.stack_name;
        self.write_parameters()?;
        aws.sam_deploy(&tool, &template, stack_name, &self.parameters_file())?;
        let outputs = aws.stack_outputs(&tool, stack_name)?;
        let deployed = Deployed {
            api_url: self.own_api_url(outputs.get(API_URL).map(String::as_str))?,
            ..wanted
        };
        deployed.remember(self.settings)?;
        self.built.remove_earlier()?;
        Ok(deployed)
    }

    fn template_file(&self) -> PathBuf {
        self.settings.directory.join("deploy/template.json")
    }

    fn parameters_file(&self) -> PathBuf {
        self.settings.directory.join("deploy/parameters.yaml")
    }

    /// In a file, because `sam deploy --config-env localstack` takes them from there too,
    /// and because a command line shows its secrets to everybody on the machine.
    fn write_parameters(&self) -> Result<()> {
        let by_name: BTreeMap<_, _> = self.parameters.iter().cloned().collect();
        files::replace_json(&self.parameters_file(), &by_name)
    }

    fn own_api_url(&self, output: Option<&str>) -> Result<String> {
        let output = output.with_context(|| format!("the template has no output {API_URL}"))?;
        Ok(api_url_on(&self.endpoints.localstack_url, output))
    }

    fn wanted(&self) -> Result<Deployed> {
        let mut template = Fingerprint::default()
            .with(&self.frame)
            .with(&self.settings.stack_name);
        for (name, value) in &self.parameters {
            template = template.with(name).with(value);
        }
        let code = self.built.functions.iter();
        Ok(Deployed {
            session: localstack::session(&self.endpoints.localstack_url)?,
            template: template.finish(),
            functions: code
                .map(|(binary, code)| (binary.clone(), code.fingerprint.clone()))
                .collect(),
            api_url: String::new(),
            provisioned: None,
        })
    }
}

fn plan(deployed: Option<Deployed>, wanted: &Deployed) -> Plan {
    match deployed {
        Some(deployed) if deployed.template == wanted.template => {
            let changed: Vec<String> = wanted
                .functions
                .iter()
                .filter(|(binary, code)| deployed.functions.get(*binary) != Some(code))
                .map(|(binary, _)| binary.clone())
                .collect();
            if changed.is_empty() {
                Plan::Keep(deployed)
            } else {
                Plan::Update(deployed, changed)
            }
        }
        Some(deployed) => Plan::Change(deployed),
        None => Plan::Deploy,
    }
}

/// The address of the API on this LocalStack, whatever port it is on: the template can
/// only say it for the usual one.
fn api_url_on(localstack_url: &str, output: &str) -> String {
    let output = output.trim_end_matches('/');
    let path = match output.split_once("/_aws/execute-api/") {
        Some((_, path)) => Some(path.to_owned()),
        // https://<api>.execute-api.<region>.amazonaws.com/<stage>
        None => output
            .strip_prefix("https://")
            .and_then(|rest| rest.split_once(".execute-api."))
            .and_then(|(api, rest)| Some(format!("{api}/{}", rest.split_once('/')?.1))),
    };
    path.map_or_else(
        || output.to_owned(),
        |path| format!("{localstack_url}/_aws/execute-api/{path}"),
    )
}

/// The secret with the user and password of the local broker. Secrets Manager adds a few random
/// characters to an ARN, and does not ask for them.
fn kafka_secret(settings: &Settings) -> String {
    format!(
        "arn:aws:secretsmanager:{REGION}:000000000000:secret:{}",
        kafka_secret_name(settings)
    )
}

fn kafka_secret_name(settings: &Settings) -> String {
    format!("{}/kafka", settings.stack_name)
}

/// Those of the stack's values that the template wants to know.
///
/// # Errors
/// If a secret cannot be read or made, or the broker has not been started.
fn parameters(
    template: &Template,
    endpoints: &Endpoints,
    settings: &Settings,
) -> Result<Vec<(String, String)>> {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let known = [
        ("AllowedOrigins", settings.allowed_origins.clone()),
        ("Architecture", architecture.to_owned()),
        ("BillingToken", endpoints.billing_token.clone()),
        ("BillingUrl", endpoints.billing_url.clone()),
        ("DatabaseAuthentication", "PASSWORD".to_owned()),
        ("DatabaseAddress", endpoints.service_roles.address.clone()),
        ("DatabaseOwnerUrl", endpoints.database_url.clone()),
        ("DatabaseRolePrefix", endpoints.service_roles.prefix.clone()),
        ("Environment", "local".to_owned()),
        (
            "KafkaBootstrapServers",
            endpoints.kafka_bootstrap_servers.clone(),
        ),
        ("LogLevel", settings.log_level.clone()),
        // Nobody's: LocalStack sends no mail.
        ("NotificationsSender", "clinic@clinic.example".to_owned()),
        // Nor does it limit how many.
        ("WelcomesPerSecond", "10000".to_owned()),
        (
            "PublicUrl",
            format!(
                "{}/_aws/execute-api/{}/v1",
                endpoints.localstack_url, settings.stack_name
            ),
        ),
    ];
    let mut known = BTreeMap::from(known);
    if settings.starts(Service::Kafka) {
        // As one line, like every parameter.
        let authority = certificates::authority(settings)?
            .trim()
            .replace('\n', "\\n");
        known.extend([
            ("KafkaAuthentication", "SCRAM".to_owned()),
            ("KafkaCaCertificate", authority),
            ("KafkaSecretArn", kafka_secret(settings)),
        ]);
    } else {
        known.insert("KafkaAuthentication", "NONE".to_owned());
    }
    let mut wanted = Vec::new();
    for parameter in template.parameters() {
        let value = match known.get(parameter) {
            Some(value) => Some(value.clone()),
            None => password_of_parameter(settings, parameter)?,
        };
        wanted.extend(value.map(|value| (parameter.to_owned(), value)));
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployed(template: &str, functions: &[(&str, &str)]) -> Deployed {
        Deployed {
            session: String::new(),
            template: template.to_owned(),
            functions: functions
                .iter()
                .map(|(binary, code)| ((*binary).to_owned(), (*code).to_owned()))
                .collect(),
            api_url: String::new(),
            provisioned: None,
        }
    }

    #[test]
    fn nothing_is_done_when_nothing_has_changed() {
        let now = deployed("t", &[("login", "1"), ("get-patient", "1")]);
        assert_eq!(plan(Some(now.clone()), &now.clone()), Plan::Keep(now));
    }

    #[test]
    fn the_api_is_on_this_localstack_whatever_the_template_says() {
        for output in [
            "http://localhost:4566/_aws/execute-api/a1b2/v1",
            "https://a1b2.execute-api.us-east-1.amazonaws.com/v1/",
        ] {
            assert_eq!(
                api_url_on("http://localhost:40123", output),
                "http://localhost:40123/_aws/execute-api/a1b2/v1"
            );
        }
        let own = "https://api.clinic.example";
        assert_eq!(api_url_on("http://localhost:40123", own), own);
    }

    #[test]
    fn only_changed_functions_are_updated() {
        let before = deployed("t", &[("login", "1"), ("get-patient", "1")]);
        let wanted = deployed("t", &[("login", "1"), ("get-patient", "2")]);
        let expected = Plan::Update(before.clone(), vec!["get-patient".to_owned()]);
        assert_eq!(plan(Some(before), &wanted), expected);
    }

    #[test]
    fn a_new_template_is_a_change() {
        let before = deployed("u", &[("login", "1")]);
        let wanted = deployed("t", &[("login", "2")]);
        assert_eq!(plan(Some(before.clone()), &wanted), Plan::Change(before));
    }

    #[test]
    fn a_localstack_that_has_nothing_needs_everything() {
        let wanted = deployed("t", &[("login", "1")]);
        assert_eq!(plan(None, &wanted), Plan::Deploy);
    }
}
