//! The SAM template: which functions there are, and how it looks with their built code.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

/// Where a function says what its code is.
const CODE: &str = "CodeUri";

/// The template of the whole deployment.
pub struct Template {
    document: Value,
}

/// A function of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name in the template.
    pub logical_id: String,
    /// The program that it runs.
    pub binary: String,
    /// Its name in AWS.
    pub name: String,
}

impl Template {
    /// Reads `template.yaml`.
    ///
    /// # Errors
    /// If it is not there or not a template.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a template", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let document = to_json(serde_yaml_ng::from_str(text)?)?;
        if !document["Resources"].is_object() {
            bail!("there are no Resources");
        }
        Ok(Self { document })
    }

    /// All functions, by their names in the template.
    ///
    /// # Errors
    /// If one does not say which program it runs.
    pub fn functions(&self, stack_name: &str) -> Result<Vec<Function>> {
        let resources = self.document["Resources"].as_object().into_iter().flatten();
        resources
            .filter(|(_, resource)| is_function(resource))
            .map(|(logical_id, resource)| {
                let binary = binary_of(resource).with_context(|| {
                    format!("{logical_id} has no Metadata.BuildProperties.Binary")
                })?;
                let name = &resource["Properties"]["FunctionName"];
                let name = name
                    .as_str()
                    .or_else(|| name["Fn::Sub"].as_str())
                    .with_context(|| format!("{logical_id} has no FunctionName"))?;
                Ok(Function {
                    logical_id: logical_id.clone(),
                    binary: binary.to_owned(),
                    name: name.replace("${AWS::StackName}", stack_name),
                })
            })
            .collect()
    }

    /// What the template wants to know.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let parameters = self.document["Parameters"].as_object();
        parameters
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
    }

    /// The template as it is deployed to a local stack, in JSON, which has no two opinions
    /// about what is a date or a boolean: the functions' code is where it has been built,
    /// and other files that it names are looked for in `folder`.
    #[must_use]
    pub fn deployable(&self, folder: &Path, code_of: impl Fn(&str) -> Option<Value>) -> String {
        let mut document = self.document.clone();
        for resource in document["Resources"]
            .as_object_mut()
            .into_iter()
            .flat_map(Map::values_mut)
        {
            if is_function(resource)
                && let Some(code) = binary_of(resource).and_then(&code_of)
            {
                resource["Properties"][CODE] = code;
            }
        }
        make_absolute(&mut document, folder);
        document.to_string()
    }
}

/// Gives each function that is as it was in an earlier document, and means the same, the code
/// that it had there. Returns the programs of all others.
///
/// # Errors
/// If one of them is no template.
pub fn keep_code(document: &str, before: &str) -> Result<(String, BTreeSet<String>)> {
    let mut document: Value = serde_json::from_str(document)?;
    let before: Value = serde_json::from_str(before)?;
    let means_the_same = [
        "Conditions",
        "Globals",
        "Mappings",
        "Parameters",
        "Transform",
    ]
    .iter()
    .all(|section| document[*section] == before[*section]);
    let mut others = BTreeSet::new();
    let resources = document["Resources"].as_object_mut().into_iter().flatten();
    for (logical_id, resource) in resources {
        if !is_function(resource) {
            continue;
        }
        let mut kept = resource.clone();
        let before = &before["Resources"][logical_id];
        kept["Properties"][CODE] = before["Properties"][CODE].clone();
        if means_the_same && kept == *before {
            *resource = kept;
        } else if let Some(binary) = binary_of(resource) {
            others.insert(binary.to_owned());
        }
    }
    Ok((document.to_string(), others))
}

/// Whether two documents say something else in a section.
///
/// # Errors
/// If one of them is no template.
pub fn differ(document: &str, other: &str, section: &str) -> Result<bool> {
    let documents = [document, other].map(serde_json::from_str::<Value>);
    let [document, other] = documents;
    Ok(document?[section] != other?[section])
}

fn binary_of(function: &Value) -> Option<&str> {
    function["Metadata"]["BuildProperties"]["Binary"].as_str()
}

fn is_function(resource: &Value) -> bool {
    resource["Type"] == "AWS::Serverless::Function"
}

/// Local files that a template may name, apart from code.
fn make_absolute(value: &mut Value, folder: &Path) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = value.as_str().map(|path| folder.join(path));
                match path {
                    Some(path)
                        if matches!(key.as_str(), "DefinitionUri" | "Location")
                            && path.is_file() =>
                    {
                        *value = json!(path);
                    }
                    _ => make_absolute(value, folder),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                make_absolute(value, folder);
            }
        }
        _ => {}
    }
}

/// YAML has short forms for what `CloudFormation` calls intrinsic functions; JSON has not.
fn to_json(yaml: Yaml) -> Result<Value> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => json!(value),
        Yaml::Number(number) => serde_json::to_value(number)?,
        Yaml::String(text) => json!(text),
        Yaml::Sequence(values) => values
            .into_iter()
            .map(to_json)
            .collect::<Result<Vec<_>>>()?
            .into(),
        Yaml::Mapping(mapping) => {
            let mut object = Map::new();
            for (key, value) in mapping {
                let key = match key {
                    Yaml::String(key) => key,
                    Yaml::Number(key) => key.to_string(),
                    Yaml::Bool(key) => key.to_string(),
                    other => bail!("a key that is no text: {other:?}"),
                };
                object.insert(key, to_json(value)?);
            }
            object.into()
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let tag = tag.trim_start_matches('!');
            let value = to_json(tagged.value)?;
            match (tag, value) {
                ("Ref" | "Condition", value) => json!({ tag: value }),
                ("GetAtt", Value::String(path)) => {
                    let parts: Vec<&str> = path.splitn(2, '.').collect();
                    json!({ "Fn::GetAtt": parts })
                }
                (_, value) => json!({ (format!("Fn::{tag}")): value }),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = r#"
AWSTemplateFormatVersion: 2010-09-09
Transform: AWS::Serverless-2016-10-31
Parameters:
  BillingToken: { Type: String, NoEcho: true }
Resources:
  LoginFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: login } }
    Properties:
      FunctionName: !Sub "${AWS::StackName}-login"
      CodeUri: .
      Environment:
        Variables:
          BILLING_TOKEN: !Ref BillingToken
          TABLE: !GetAtt Sessions.Arn.Of
  Sessions:
    Type: AWS::DynamoDB::Table
    Properties:
      Policy: { Version: "2012-10-17", Enabled: "yes" }
  CreatePatientFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: create-patient } }
    Properties:
      FunctionName: !Sub "${AWS::StackName}-create-patient"
"#;

    #[test]
    fn functions_come_with_their_programs_and_names() {
        let functions = Template::parse(TEMPLATE)
            .unwrap()
            .functions("clinic")
            .unwrap();
        assert_eq!(functions[0].binary, "create-patient");
        assert_eq!(
            functions[1],
            Function {
                logical_id: "LoginFunction".to_owned(),
                binary: "login".to_owned(),
                name: "clinic-login".to_owned(),
            }
        );
        assert_eq!(functions.len(), 2);
    }

    #[test]
    fn a_function_without_a_program_is_refused_by_name() {
        let text = TEMPLATE.replace("Binary: login", "Other: login");
        let error = Template::parse(&text)
            .unwrap()
            .functions("clinic")
            .unwrap_err();
        assert!(error.to_string().contains("LoginFunction"), "{error}");
    }

    #[test]
    fn the_code_is_where_it_was_built_and_the_rest_stays() {
        let template = Template::parse(TEMPLATE).unwrap();
        let text = template.deployable(Path::new("/nowhere"), |binary| {
            Some(json!(format!("/built/{binary}")))
        });
        let rendered: Value = serde_json::from_str(&text).unwrap();
        let function = &rendered["Resources"]["LoginFunction"]["Properties"];
        assert_eq!(function["CodeUri"], "/built/login");
        assert_eq!(
            function["FunctionName"],
            json!({ "Fn::Sub": "${AWS::StackName}-login" })
        );
        let variables = &function["Environment"]["Variables"];
        assert_eq!(variables["BILLING_TOKEN"], json!({ "Ref": "BillingToken" }));
        assert_eq!(
            variables["TABLE"],
            json!({ "Fn::GetAtt": ["Sessions", "Arn.Of"] })
        );
        let other = &rendered["Resources"]["CreatePatientFunction"]["Properties"];
        assert_eq!(other["CodeUri"], "/built/create-patient");
    }

    #[test]
    fn texts_that_look_like_something_else_stay_texts() {
        let template = Template::parse(TEMPLATE).unwrap();
        let text = template.deployable(Path::new("/nowhere"), |_| None);
        assert!(
            text.contains(r#""AWSTemplateFormatVersion":"2010-09-09""#),
            "{text}"
        );
        assert!(text.contains(r#""Version":"2012-10-17""#), "{text}");
        assert!(text.contains(r#""Enabled":"yes""#), "{text}");
    }

    fn built_into(text: &str, folder: &str) -> String {
        let template = Template::parse(text).unwrap();
        template.deployable(Path::new("/nowhere"), |binary| {
            Some(json!(format!("/{folder}/{binary}")))
        })
    }

    fn code_kept(text: &str) -> (Value, BTreeSet<String>) {
        let before = built_into(TEMPLATE, "before");
        let (document, others) = keep_code(&built_into(text, "now"), &before).unwrap();
        (serde_json::from_str(&document).unwrap(), others)
    }

    #[test]
    fn only_functions_that_have_changed_get_their_new_code_with_the_template() {
        let changed = TEMPLATE.replace("TABLE:", "RENAMED:");
        let (document, others) = code_kept(&changed);
        let code = |function: &str| document["Resources"][function]["Properties"][CODE].clone();
        assert_eq!(code("LoginFunction"), "/now/login");
        assert_eq!(code("CreatePatientFunction"), "/before/create-patient");
        assert_eq!(others, BTreeSet::from(["login".to_owned()]));
    }

    #[test]
    fn new_functions_get_their_code() {
        let added = format!(
            "{TEMPLATE}  NewFunction:\n    Type: AWS::Serverless::Function\n    \
             Metadata: {{ BuildProperties: {{ Binary: new }} }}\n    \
             Properties: {{ FunctionName: new }}\n"
        );
        let (document, others) = code_kept(&added);
        let function = &document["Resources"]["NewFunction"]["Properties"];
        assert_eq!(function[CODE], "/now/new");
        assert_eq!(others, BTreeSet::from(["new".to_owned()]));
    }

    #[test]
    fn what_holds_for_all_functions_changes_all() {
        let changed = TEMPLATE.replace("NoEcho: true", "Default: none");
        assert_eq!(code_kept(&changed).1.len(), 2);
    }

    #[test]
    fn parameters_are_known() {
        let template = Template::parse(TEMPLATE).unwrap();
        assert_eq!(template.parameters().collect::<Vec<_>>(), ["BillingToken"]);
    }
}
