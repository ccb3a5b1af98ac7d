//! Another template, without LocalStack beginning anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::change::{self, Change, FUNCTION};
use super::change_set::ChangeSet;
use super::endpoint::{Endpoint, Mistake, members};
use super::verification::verify;
use super::{API_URL, Deployment};
use crate::cancellation::Cancelled;
use crate::deployed::{self, Deployed};
use crate::files;
use crate::progress::Step;
use crate::template::{Function, differ, keep_code};
use crate::tool::Tool;

/// Where a template says what is to be known of a stack.
const OUTPUTS: &str = "Outputs";

impl Deployment<'_> {
    /// Changes what is deployed to what the template says now: all but the code of functions
    /// that are otherwise as they were. What `provisioning` has done holds, unless these programs
    /// are told something new. Returns whether it has. If not, LocalStack has to begin anew.
    ///
    /// # Errors
    /// If the template has a mistake, in which case everything stays as it was; or if it was
    /// cancelled, or cannot be remembered.
    pub fn change(
        &self,
        step: &Step<'_>,
        before: &Deployed,
        provisioning: &[&str],
    ) -> Result<bool> {
        match self.try_to_change(step, before, provisioning) {
            Ok(changes) => {
                step.result(match changes {
                    0 => "changes nothing that is deployed".to_owned(),
                    1 => "1 change".to_owned(),
                    changes => format!("{changes} changes"),
                });
                Ok(true)
            }
            Err(error) if error.is::<Cancelled>() || error.is::<Mistake>() => Err(error),
            Err(reason) => {
                step.result(format!("LocalStack begins anew: {reason:#}"));
                deployed::discard(self.settings)?;
                Ok(false)
            }
        }
    }

    fn try_to_change(
        &self,
        step: &Step<'_>,
        before: &Deployed,
        provisioning: &[&str],
    ) -> Result<usize> {
        let tool = Tool::new(step, &self.settings.log("template"))?;
        step.doing("looking at what changes");
        let (template, programs) = self.with_code_as_before()?;
        let endpoint = Endpoint::new(&self.endpoints.localstack_url);
        let stack_name = &self.settings.stack_name;
        let set = ChangeSet::create(step, &endpoint, stack_name, &template, &self.parameters)?;
        for change in &set.changes {
            tool.note(&change.to_string())?;
        }
        if let Some(objection) = self.objection(&set.changes, &programs) {
            bail!(objection);
        }
        if set.changes.is_empty() && differ(&template, &earlier(&self.template_file())?, OUTPUTS)? {
            bail!("nothing but the outputs changes, which LocalStack passes over");
        }

        step.doing(format!("making {} changes", set.changes.len()));
        deployed::discard(self.settings)?;
        let stack = set.execute(step)?;
        verify(&endpoint, self.functions, &set.changes)?;
        let provisions = provisioning
            .iter()
            .any(|program| programs.contains(*program));
        let before = Deployed {
            provisioned: before.provisioned.clone().filter(|_| !provisions),
            ..before.clone()
        };
        self.remember_change(before, &template, &programs, &stack)?;
        Ok(set.changes.len())
    }

    /// Why these changes are better not left to LocalStack, of which only these programs are
    /// expected to change.
    fn objection(&self, changes: &[Change], programs: &BTreeSet<String>) -> Option<String> {
        if let Some(objection) = change::objection(changes) {
            return Some(objection);
        }
        let is_changed = |function: &&Function| {
            let mut changes = changes.iter();
            changes.any(|change| change.modifies(FUNCTION, &function.logical_id))
        };
        let functions: Vec<&Function> = self.functions.iter().filter(is_changed).collect();
        if functions.len() * 2 > self.functions.len() {
            return Some("most functions change, which takes longer".to_owned());
        }
        let mut functions = functions.into_iter();
        let other = functions.find(|function| !programs.contains(&function.binary))?;
        Some(format!("{} changes with something else", other.logical_id))
    }

    /// The template with new code for new functions, and for those of which it says something
    /// new, and the programs of these. A change of code alone is made later, and quicker.
    fn with_code_as_before(&self) -> Result<(String, BTreeSet<String>)> {
        let parameters: BTreeMap<String, String> =
            serde_json::from_str(&earlier(&self.parameters_file())?)?;
        let is_same = |(name, value): &(String, String)| parameters.get(name) == Some(value);
        if parameters.len() == self.parameters.len() && self.parameters.iter().all(is_same) {
            keep_code(&self.template, &earlier(&self.template_file())?)
        } else {
            let all = self.functions.iter();
            let all = all.map(|function| function.binary.clone()).collect();
            Ok((self.template.clone(), all))
        }
    }

    fn remember_change(
        &self,
        mut before: Deployed,
        template: &str,
        programs: &BTreeSet<String>,
        stack: &Value,
    ) -> Result<()> {
        files::replace(&self.template_file(), template.as_bytes())?;
        self.write_parameters()?;
        let outputs = members(&stack["Outputs"]).into_iter();
        let mut urls = outputs.filter(|output| output["OutputKey"] == API_URL);
        let api_url = urls
            .next()
            .and_then(|output| output["OutputValue"].as_str());
        let mut deployed = Deployed {
            api_url: self.own_api_url(api_url)?,
            provisioned: before.provisioned.take(),
            ..self.wanted()?
        };
        for (program, code) in &mut deployed.functions {
            if !programs.contains(program) {
                // That of before, or none that anybody has.
                code.clone_from(before.functions.get(program).unwrap_or(&String::new()));
            }
        }
        deployed.remember(self.settings)
    }
}

/// A file of the deployment before.
fn earlier(path: &Path) -> Result<String> {
    fs::read_to_string(path).context("it is not known what was deployed before")
}
