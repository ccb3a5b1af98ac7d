//! What a change set does to a resource, and whether LocalStack does that as it is written.
//!
//! LocalStack passes over many changes and calls them done. So only those count as reliable
//! that were tried, by comparing what was there afterwards with what a new deployment makes.

use std::fmt;

use serde_json::{Map, Value};

/// The kinds that LocalStack removes without a trace. It does not know of resources that are to
/// stay; but what these hold is gone as well when it begins anew.
const REMOVABLE: [&str; 8] = [
    "AWS::ApiGateway::Deployment",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::Lambda::EventInvokeConfig",
    MAPPING,
    FUNCTION,
    PERMISSION,
    "AWS::SQS::Queue",
];

pub(super) const FUNCTION: &str = "AWS::Lambda::Function";
const MAPPING: &str = "AWS::Lambda::EventSourceMapping";
const PERMISSION: &str = "AWS::Lambda::Permission";
pub(super) const API: &str = "AWS::ApiGateway::RestApi";

/// What names a resource beyond its stack: two of the same name are one.
const NAMES: [&str; 4] = ["FunctionName", "Name", "QueueName", "RoleName"];

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Add,
    Modify,
    Remove,
}

/// What a change set does to a resource.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) action: Action,
    /// The resource's name in the template.
    pub(super) resource: String,
    /// Its name in AWS, if it is there.
    pub(super) physical_id: String,
    pub(super) kind: String,
    /// Whether another one is put into its place.
    replaces: bool,
    pub(super) before: Map<String, Value>,
    pub(super) after: Map<String, Value>,
}

impl Change {
    /// Reads what LocalStack says. `None` if that is something new.
    pub(super) fn read(change: &Value) -> Option<Self> {
        let change = &change["ResourceChange"];
        let text = |name: &str| change[name].as_str().map(str::to_owned);
        let properties = |context: &str| {
            let text = change[context].as_str().unwrap_or("{}");
            let context: Value = serde_json::from_str(text).ok()?;
            match &context["Properties"] {
                Value::Object(properties) => Some(properties.clone()),
                Value::Null => Some(Map::new()),
                _ => None,
            }
        };
        Some(Self {
            action: match change["Action"].as_str()? {
                "Add" => Action::Add,
                "Modify" => Action::Modify,
                "Remove" => Action::Remove,
                _ => return None,
            },
            resource: text("LogicalResourceId")?,
            physical_id: text("PhysicalResourceId").unwrap_or_default(),
            kind: text("ResourceType")?,
            replaces: text("Replacement").is_some_and(|replacement| replacement != "False"),
            before: properties("BeforeContext")?,
            after: properties("AfterContext")?,
        })
    }

    /// Why this change is better not left to LocalStack.
    pub(super) fn objection(&self) -> Option<String> {
        let Self { resource, kind, .. } = self;
        match self.action {
            Action::Add => None,
            Action::Remove if REMOVABLE.contains(&kind.as_str()) => None,
            Action::Remove => Some(format!("{resource} is removed")),
            Action::Modify if self.replaces && !is_replaceable(kind) => {
                Some(format!("{resource} is replaced"))
            }
            Action::Modify if self.replaces => None,
            Action::Modify => self
                .changed()
                .find(|property| !self.is_changed_reliably(property))
                .map(|property| format!("{property} of {resource} changes")),
        }
    }

    pub(super) fn modifies(&self, kind: &str, resource: &str) -> bool {
        self.action == Action::Modify && self.kind == kind && self.resource == resource
    }

    fn changed(&self) -> impl Iterator<Item = &str> {
        let Self { before, after, .. } = self;
        let changed = after
            .iter()
            .filter(|(name, value)| before.get(*name) != Some(value));
        let removed = before.iter().filter(|(name, _)| !after.contains_key(*name));
        changed.chain(removed).map(|(name, _)| name.as_str())
    }

    fn is_changed_reliably(&self, property: &str) -> bool {
        // What is no longer said stays as it was, where LocalStack only sets what is said.
        let is_said = self.after.contains_key(property);
        match self.kind.as_str() {
            FUNCTION => {
                is_said
                    && matches!(
                        property,
                        "Code"
                            | "Description"
                            | "Environment"
                            | "Handler"
                            | "MemorySize"
                            | "Timeout"
                    )
            }
            MAPPING => {
                is_said
                    && matches!(
                        property,
                        "BatchSize"
                            | "Enabled"
                            | "MaximumBatchingWindowInSeconds"
                            | "ScalingConfig"
                    )
            }
            PERMISSION => true,
            API => is_said && property == "Body",
            "AWS::ApiGateway::Stage" => {
                property == "AccessLogSetting" || is_said && property == "DeploymentId"
            }
            "AWS::IAM::Role" => matches!(
                property,
                "AssumeRolePolicyDocument" | "ManagedPolicyArns" | "Policies"
            ),
            "AWS::DynamoDB::Table" => is_said && property == "DeletionProtectionEnabled",
            _ => false,
        }
    }

    /// Whether one resource is there before and after, under two names of the template: it is
    /// added first, and what is added is removed then.
    fn is_renamed_by(&self, added: &Self) -> bool {
        self.action == Action::Remove
            && added.action == Action::Add
            && self.kind == added.kind
            // These name the function that they are about.
            && self.kind != PERMISSION
            && self.kind != MAPPING
            && NAMES.iter().any(|name| {
                let name_before = self.before.get(*name);
                name_before.is_some() && name_before == added.after.get(*name)
            })
    }
}

/// For the log, without values: they may be secret.
impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            action,
            resource,
            kind,
            ..
        } = self;
        write!(formatter, "{action:?} {resource} ({kind})")?;
        if self.action == Action::Modify {
            let changed: Vec<&str> = self.changed().collect();
            write!(formatter, ": {}", changed.join(", "))?;
        }
        Ok(())
    }
}

/// Nothing depends on these, so that nothing has to hear of another one.
fn is_replaceable(kind: &str) -> bool {
    matches!(kind, "AWS::ApiGateway::Stage" | PERMISSION)
}

/// Why these changes are better not left to LocalStack.
pub(super) fn objection(changes: &[Change]) -> Option<String> {
    if let Some(objection) = changes.iter().find_map(Change::objection) {
        return Some(objection);
    }
    changes.iter().find_map(|removed| {
        let added = changes.iter().find(|added| removed.is_renamed_by(added))?;
        Some(format!(
            "{} is called {} now",
            removed.resource, added.resource
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(action: &str, kind: &str, before: &Value, after: &Value) -> Change {
        let replacement = if action == "Replace" { "True" } else { "False" };
        let action = action.replace("Replace", "Modify");
        Change::read(&json!({ "ResourceChange": {
            "Action": action,
            "LogicalResourceId": "It",
            "ResourceType": kind,
            "Replacement": replacement,
            "BeforeContext": json!({ "Properties": before }).to_string(),
            "AfterContext": json!({ "Properties": after }).to_string(),
        } }))
        .unwrap()
    }

    fn objection_to(action: &str, kind: &str, before: &Value, after: &Value) -> Option<String> {
        objection(&[change(action, kind, before, after)])
    }

    #[test]
    fn what_a_function_is_run_with_changes_reliably() {
        let before = json!({ "FunctionName": "it", "MemorySize": 128, "Runtime": "provided" });
        let after = json!({ "FunctionName": "it", "MemorySize": 256, "Runtime": "provided",
            "Environment": { "Variables": { "A": "1" } } });
        assert_eq!(objection_to("Modify", FUNCTION, &before, &after), None);
    }

    #[test]
    fn a_new_function_with_its_route_is_added_reliably() {
        let changes = [
            change(
                "Add",
                FUNCTION,
                &json!({}),
                &json!({ "FunctionName": "new" }),
            ),
            change("Add", "AWS::IAM::Role", &json!({}), &json!({})),
            change("Modify", API, &json!({ "Body": 1 }), &json!({ "Body": 2 })),
            change(
                "Remove",
                "AWS::ApiGateway::Deployment",
                &json!({}),
                &json!({}),
            ),
            change(
                "Replace",
                "AWS::ApiGateway::Stage",
                &json!({ "DeploymentId": "1" }),
                &json!({ "DeploymentId": "2" }),
            ),
        ];
        assert_eq!(objection(&changes), None);
    }

    #[test]
    fn what_localstack_passes_over_is_named() {
        for (kind, property) in [
            ("AWS::Events::Rule", "ScheduleExpression"),
            ("AWS::Logs::SubscriptionFilter", "FilterPattern"),
            ("AWS::SQS::Queue", "VisibilityTimeout"),
            ("AWS::ApiGateway::Stage", "MethodSettings"),
            (FUNCTION, "Architectures"),
            ("AWS::New::Kind", "Anything"),
        ] {
            let objection = objection_to(
                "Modify",
                kind,
                &json!({ property: 1 }),
                &json!({ property: 2 }),
            );
            assert_eq!(
                objection,
                Some(format!("{property} of It changes")),
                "{kind}"
            );
        }
    }

    #[test]
    fn what_is_no_longer_said_of_a_function_would_stay() {
        let before = json!({ "Environment": { "Variables": { "A": "1" } } });
        assert!(objection_to("Modify", FUNCTION, &before, &json!({})).is_some());
    }

    #[test]
    fn another_function_under_the_same_name_is_not_heard_of_by_those_who_call_it() {
        let names = [
            json!({ "FunctionName": "a" }),
            json!({ "FunctionName": "b" }),
        ];
        let objection = objection_to("Replace", FUNCTION, &names[0], &names[1]);
        assert_eq!(objection.as_deref(), Some("It is replaced"));
    }

    #[test]
    fn data_is_never_removed() {
        for kind in ["AWS::DynamoDB::Table", "AWS::SecretsManager::Secret"] {
            let objection = objection_to("Remove", kind, &json!({}), &json!({}));
            assert_eq!(objection.as_deref(), Some("It is removed"), "{kind}");
        }
    }

    #[test]
    fn a_function_that_is_only_called_otherwise_in_the_template_would_be_gone() {
        let name = json!({ "FunctionName": "same" });
        let changes = [
            change("Add", FUNCTION, &json!({}), &name),
            change("Remove", FUNCTION, &name, &json!({})),
        ];
        assert!(objection(&changes).is_some());
        let other = change(
            "Remove",
            FUNCTION,
            &json!({ "FunctionName": "b" }),
            &json!({}),
        );
        assert_eq!(objection(&[changes[0].clone(), other]), None);
    }

    #[test]
    fn what_is_not_understood_is_not_a_change() {
        let import = json!({ "ResourceChange": { "Action": "Import" } });
        assert!(Change::read(&import).is_none());
    }
}
