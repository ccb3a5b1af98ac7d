//! `template.yaml`: what all functions have in common, each route with its function, and what some
//! functions have beyond that. It is put together as text, so that the comments of the parts stay.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use programs::{SERVICES, Service};
use route::{Method, Row};
use utoipa::openapi::OpenApi;

use super::openapi_document;

/// What all functions have in common, and where the rest is to stand in it.
const COMMON: &str = "functions/template.yaml";
const ROUTES: &str = "      # {routes}\n";
const FUNCTIONS: &str = "  # {functions}\n";

/// Answers what no other function does.
const UNROUTED: &str = "UnroutedFunction";

const NOTICE: &str = "\
# Made by `make generate` from the routes, functions/template.yaml and functions/*/template.yaml:
# edit those.

";

pub(super) fn template(repository: &Path, document: &OpenApi) -> Result<String> {
    let common = read(repository, COMMON)?;
    // Its own first words are about the part that it is.
    let (_, common) = common
        .split_once("\n\n")
        .filter(|(words, _)| words.starts_with('#'))
        .map_or(("", common.as_str()), |parts| parts);
    for mark in [ROUTES, FUNCTIONS] {
        ensure!(common.contains(mark), "{COMMON}: no {}", mark.trim());
    }
    let mut functions = String::new();
    for service in SERVICES {
        let part = format!("functions/{}/template.yaml", service.name);
        let part = if repository.join(&part).exists() {
            Part::read(&read(repository, &part)?).with_context(|| part)?
        } else {
            Part::default()
        };
        functions.push_str(&section(service, part, document)?);
    }
    let common = common
        .replace(ROUTES, &definition()?)
        .replace(FUNCTIONS, functions.trim_start_matches('\n'));
    Ok(format!("{NOTICE}{common}"))
}

fn read(repository: &Path, path: &str) -> Result<String> {
    fs::read_to_string(repository.join(path)).with_context(|| format!("cannot read {path}"))
}

/// The name of a function's resource: `CreatePatientFunction` for `create-patient`.
#[must_use]
pub fn resource_name(function: &str) -> String {
    let mut name = String::new();
    for word in function.split('-') {
        let (first, rest) = word.split_at(word.len().min(1));
        name.push_str(&first.to_uppercase());
        name.push_str(rest);
    }
    name + "Function"
}

/// The other way round.
fn function_name(resource: &str) -> String {
    let mut name = String::new();
    for character in resource.trim_end_matches("Function").chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}

/// A resource of a part.
#[derive(Debug)]
struct Resource {
    name: String,
    /// The comment above it, with its line ends.
    comment: String,
    /// All below its name, with their line ends.
    lines: String,
}

/// What a service says beside its routes.
#[derive(Debug, Default)]
struct Part {
    resources: Vec<Resource>,
}

impl Part {
    fn read(text: &str) -> Result<Self> {
        let (_, text) = text
            .split_once("Resources:\n")
            .context("there are no Resources")?;
        let mut resources: Vec<Resource> = Vec::new();
        let mut comment = String::new();
        for line in text.lines() {
            let is_name = line.starts_with("  ") && !line.starts_with("   ");
            if line.starts_with("  #") {
                writeln!(comment, "{line}")?;
            } else if let Some(name) = line.trim().strip_suffix(':').filter(|_| is_name) {
                resources.push(Resource {
                    name: name.to_owned(),
                    comment: std::mem::take(&mut comment),
                    lines: String::new(),
                });
            } else if !line.is_empty() {
                let resource = resources.last_mut().context("a line of no resource")?;
                writeln!(resource.lines, "{line}")?;
            }
        }
        Ok(Self { resources })
    }

    fn take(&mut self, name: &str) -> Option<Resource> {
        let place = self
            .resources
            .iter()
            .position(|resource| resource.name == name)?;
        Some(self.resources.remove(place))
    }
}

/// The functions of a service, in the order of its routes, and all else that it has.
fn section(service: &Service, mut part: Part, document: &OpenApi) -> Result<String> {
    let mut text = format!("\n  # {} {}\n", "-".repeat(64), service.name);
    let mut served = BTreeSet::new();
    for row in service.routes {
        if served.insert(row.function) {
            let own = part.take(&resource_name(row.function));
            let needs = needs(row, document);
            text.push_str(&function(row.function, own.as_ref(), &needs)?);
        }
    }
    for resource in part.resources {
        if resource.name.ends_with("Function") {
            let name = function_name(&resource.name);
            text.push_str(&function(&name, Some(&resource), &[])?);
        } else {
            let Resource {
                name,
                comment,
                lines,
            } = resource;
            write!(text, "{comment}  {name}:\n{lines}\n")?;
        }
    }
    Ok(text)
}

/// The settings that a function needs because of what its route is.
fn needs(row: &Row, document: &OpenApi) -> Vec<&'static str> {
    let mut needs = Vec::new();
    if row.recorded {
        needs.push("DATABASE_URL: !Ref DatabaseUrl");
    }
    if openapi_document::takes(document, row, "If-Match") {
        needs.push("REQUIRE_IF_MATCH: !Ref RequireIfMatch");
    }
    needs
}

/// A function: what every one has, and what its service says about it.
fn function(name: &str, own: Option<&Resource>, needs: &[&str]) -> Result<String> {
    let resource = resource_name(name);
    let comment = own.map_or("", |own| own.comment.as_str());
    let properties = own.map_or("", |own| {
        own.lines
            .strip_prefix("    Properties: {}\n")
            .or_else(|| own.lines.strip_prefix("    Properties:\n"))
            .unwrap_or(&own.lines)
    });
    let mut text = format!(
        "{comment}  {resource}:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: rust-cargolambda
      BuildProperties: {{ Binary: {name} }}
    Properties:
      FunctionName: !Sub ${{AWS::StackName}}-{name}
"
    );
    text.push_str(&with_settings(properties, needs).with_context(|| resource)?);
    text.push('\n');
    Ok(text)
}

/// These properties, with these settings among the function's.
fn with_settings(properties: &str, settings: &[&str]) -> Result<String> {
    const ENVIRONMENT: &str = "      Environment:\n";
    const VARIABLES: &str = "        Variables:";
    let mut lines = String::new();
    for setting in settings {
        let (name, _) = setting.split_once(':').unwrap_or((setting, ""));
        ensure!(
            !properties.contains(&format!(" {name}:")),
            "{name} comes from the route, and need not be said"
        );
        writeln!(lines, "          {setting}")?;
    }
    if lines.is_empty() {
        return Ok(properties.to_owned());
    }
    let Some((before, after)) = properties.split_once(VARIABLES) else {
        return Ok(format!("{ENVIRONMENT}{VARIABLES}\n{lines}{properties}"));
    };
    let (rest_of_line, after) = after.split_once('\n').unwrap_or((after, ""));
    ensure!(
        !rest_of_line.contains('*'),
        "settings that come from the route cannot be added to an alias"
    );
    Ok(format!("{before}{VARIABLES}{rest_of_line}\n{lines}{after}"))
}

/// The API's methods. A GET has its HEAD, and what a path lacks is answered too: left to itself
/// the gateway says that a token is missing.
fn definition() -> Result<String> {
    let mut paths: BTreeMap<&str, BTreeMap<&str, (String, bool)>> = BTreeMap::new();
    for row in SERVICES.iter().flat_map(|service| service.routes) {
        let function = (resource_name(row.function), row.permission.is_none());
        let methods = paths.entry(row.path).or_default();
        methods.insert(method_key(row.method), function.clone());
        if row.method == Method::Get {
            methods.insert("head", function);
        }
    }
    for unknown in ["/", "/{proxy+}"] {
        paths.entry(unknown).or_default();
    }
    let mut text = String::from(
        "      DefinitionBody:
        openapi: 3.0.1
        info: { title: !Ref AWS::StackName, version: \"1.0\" }
        paths:
",
    );
    for (path, mut methods) in paths {
        methods.insert(
            "x-amazon-apigateway-any-method",
            (UNROUTED.to_owned(), true),
        );
        writeln!(text, "          \"{path}\":")?;
        for (method, (function, is_open)) in methods {
            text.push_str(&operation(method, &function, is_open));
        }
    }
    Ok(text)
}

const fn method_key(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Post => "post",
        Method::Put => "put",
        Method::Patch => "patch",
        Method::Delete => "delete",
    }
}

fn operation(method: &str, function: &str, is_open: bool) -> String {
    let security = if is_open { "NONE" } else { "AccessToken" };
    let uri = format!(
        "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/${{{function}.Arn}}/invocations"
    );
    format!(
        "            {method}:
              security: [{{ {security}: [] }}]
              responses: {{}}
              x-amazon-apigateway-integration:
                type: aws_proxy
                httpMethod: POST
                credentials: !If [OnAws, !GetAtt ApiInvocationsRole.Arn, !Ref AWS::NoValue]
                uri: !Sub {uri}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_and_its_resource_are_named_alike() {
        for (function, resource) in [
            ("login", "LoginFunction"),
            ("create-patient", "CreatePatientFunction"),
            ("json-web-keys", "JsonWebKeysFunction"),
        ] {
            assert_eq!(resource_name(function), resource);
            assert_eq!(function_name(resource), function);
        }
    }

    #[test]
    fn a_setting_of_the_route_stands_among_those_of_the_function() {
        let none = with_settings("", &["A: b"]).unwrap();
        assert_eq!(
            none,
            "      Environment:\n        Variables:\n          A: b\n"
        );
        let some = "      Timeout: 60\n      Environment:\n        Variables:\n          C: d\n";
        assert_eq!(
            with_settings(some, &["A: b"]).unwrap(),
            "      Timeout: 60\n      Environment:\n        Variables:\n          A: b\n          C: d\n"
        );
        assert_eq!(with_settings(some, &[]).unwrap(), some);
        assert!(with_settings(some, &["C: d"]).is_err());
        assert!(
            with_settings(
                "      Environment:\n        Variables: *others\n",
                &["A: b"]
            )
            .is_err()
        );
    }

    #[test]
    fn a_comment_stays_with_what_it_is_about() {
        let text = "# About the part\nResources:\n  # What it is\n  Queue:\n    Type: AWS::SQS::Queue\n\n  OneFunction:\n    Properties:\n      # Why\n      Timeout: 60\n";
        let part = Part::read(text).unwrap();
        assert_eq!(part.resources[0].comment, "  # What it is\n");
        assert_eq!(part.resources[1].comment, "");
        assert!(part.resources[1].lines.contains("# Why\n"));
    }
}
