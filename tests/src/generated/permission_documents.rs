//! Who may do what, as tables: people according to the permission table, functions according to the
//! template.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use identity::{Permission, Role};
use programs::SERVICES;
use serde_yaml_ng::{Mapping, Value};

/// `docs/permissions.md`: which role may call which route.
///
/// # Errors
/// If a permission has no name.
pub fn of_roles() -> Result<String> {
    let mut page = String::from(
        "# Who may call what\n\n\
         Permissions are called as in `GET /api/me`. Generated from the routes and `shared/identity/src/permission.rs` by `make generate`. Routes that are not listed are \
         open to everybody: login, refresh, forgotten password, set password (their callers \
         present a secret), token validation, public keys, health, and the API's description.\n\n",
    );
    let names: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
    writeln!(page, "| route | permission | {} |", names.join(" | "))?;
    writeln!(page, "|---|---|{}", "---|".repeat(names.len()))?;
    for route in SERVICES.iter().flat_map(|service| service.routes) {
        let Some(permission) = route.permission else {
            continue;
        };
        let marks: Vec<_> = Role::ALL
            .iter()
            .map(|role| if role.may(permission) { "yes" } else { "–" })
            .collect();
        writeln!(
            page,
            "| `{} {}` | `{}` | {} |",
            route.method,
            route.path,
            name(permission)?,
            marks.join(" | ")
        )?;
    }
    Ok(page)
}

/// What `GET /api/me` calls a permission.
fn name(permission: Permission) -> Result<String> {
    let name = serde_json::to_value(permission)?;
    let name = name.as_str().context("a permission without a name")?;
    Ok(name.to_owned())
}

/// The markers in README.md around [`in_words`].
const BEGIN: &str =
    "<!-- Generated from shared/identity/src/permission.rs by `make generate` -->\n";
const END: &str = "<!-- End of the generated part -->\n";

/// `README.md` with a table of what each role may do.
///
/// # Errors
/// If the markers are missing.
pub fn in_readme(readme: &str) -> Result<String> {
    let (before, rest) = readme.split_once(BEGIN).context("README.md: no begin")?;
    let (_, after) = rest.split_once(END).context("README.md: no end")?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", in_words()?))
}

fn in_words() -> Result<String> {
    let names: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
    let mut table = format!("| | {} |\n", names.join(" | "));
    writeln!(table, "|---|{}", "---|".repeat(names.len()))?;
    let mut permissions: Vec<Permission> = Vec::new();
    for permission in Role::ALL.iter().flat_map(|role| role.permissions()) {
        if !permissions.contains(permission) {
            permissions.push(*permission);
        }
    }
    // What everybody may do is not listed.
    permissions.retain(|permission| !Role::ALL.iter().all(|role| role.may(*permission)));
    for permission in permissions {
        let mark = |role: &Role| if role.may(permission) { "yes" } else { "–" };
        let marks: Vec<_> = Role::ALL.iter().map(mark).collect();
        writeln!(table, "| {} | {} |", words(permission), marks.join(" | "))?;
    }
    Ok(table)
}

const fn words(permission: Permission) -> &'static str {
    match permission {
        Permission::EndOwnSessions => "log out",
        Permission::ChangeOwnPassword => "change their password",
        Permission::ReadOwnAccount => "see their own account",
        Permission::ReadAccounts => "see accounts and their roles",
        Permission::ManageAccounts => "create accounts, change roles, disable accounts",
        Permission::ListPatients => "list patients",
        Permission::ReadPatient => "see a patient",
        Permission::CreatePatient => "register patients",
        Permission::RegisterWithoutWelcome => "register patients without a welcome message",
        Permission::UpdatePatient => "change patients",
        Permission::DeletePatient => "delete patients, and restore them",
        Permission::SeeDeletedPatients => "see deleted patients",
        Permission::ErasePatient => "erase deleted patients for good",
        Permission::RestrictPatient => "restrict a record, and open it again",
        Permission::ImportPatients => "import patients from a file",
        Permission::ExportPatients => "export patients to a file",
        Permission::MergePatients => "merge two records of one patient, and undo it",
        Permission::SeeRestrictedPatients => "see restricted records",
        Permission::OpenInEmergency => "open a restricted record in an emergency",
        Permission::ReadBillingAccount => "see billing accounts",
        Permission::ReadPrices => "see prices",
        Permission::ManagePrices => "set prices",
        Permission::ReadCharges => "see what patients are charged for",
        Permission::ManageCharges => "charge patients by hand, and cancel charges",
        Permission::ReadInvoices => "see invoices, payments, refunds and statements",
        Permission::ManageInvoices => "draft and issue invoices",
        Permission::CorrectInvoices => "void invoices and write credit notes",
        Permission::WriteOffInvoices => "write off what is due",
        Permission::RecordPayments => "record payments, and say what they are for",
        Permission::ReversePayments => "reverse payments",
        Permission::RequestRefunds => "ask for refunds",
        Permission::ApproveRefunds => "approve or reject refunds",
        Permission::CompleteRefunds => "pay out approved refunds",
        Permission::ReadBillingReports => "see aging, revenue and takings, also as analytics",
        Permission::ExportLedger => "export the ledger",
        Permission::ReadSchedules => "see locations, resources, services and free slots",
        Permission::ManageSchedules => "set up locations, resources, services, hours and closures",
        Permission::RecordAbsences => "record absences",
        Permission::ReadAppointments => "see appointments and the waitlist",
        Permission::ManageAppointments => "book, move and cancel appointments, and record who came",
        Permission::Overbook => "book what is not free, for a reason",
        Permission::ReadAnalytics => "see the analytics of patients and appointments",
        Permission::ReadNotifications => "see the messages sent to patients",
        Permission::ReadNotificationPreferences => "see how a patient wants to be reached",
        Permission::ChangeNotificationPreferences => "change how a patient wants to be reached",
        Permission::ManageNotificationTemplates => "write what messages to patients say",
        Permission::ReadAuditTrail => "read the audit trail",
    }
}

/// `docs/function-permissions.md`: what each function may do with which AWS resource, according to
/// this template. What a function needs to run and to log comes from Lambda's own policy.
///
/// # Errors
/// If the template does not have the expected structure.
pub fn of_functions(template: &str) -> Result<String> {
    let template: Value = serde_yaml_ng::from_str(template)?;
    let resources = template["Resources"]
        .as_mapping()
        .context("the template has no resources")?;
    let mut page = String::from(
        "# What each function may do\n\n\
         Generated from `template.yaml` by `make generate`. A \
         change here changes who can access what: review it carefully. Every function may write \
         its own log, and nothing else that is not listed. Those that may do nothing else share a \
         role, and so do those of a service that may only log in to the database; each of the \
         others has one of its own.\n\n\
         | function | may | with | if |\n|---|---|---|---|\n",
    );
    for (_, resource) in resources {
        if resource["Type"] != "AWS::Serverless::Function" {
            continue;
        }
        let name = resource["Metadata"]["BuildProperties"]["Binary"]
            .as_str()
            .context("a function has no binary")?;
        let properties = &resource["Properties"];
        let shared = match &properties["Role"] {
            Value::Tagged(role) => role.value.as_str().unwrap_or_default(),
            _ => "",
        };
        let shared = &template["Resources"][shared.trim_end_matches(".Arn")]["Properties"];
        let own = properties["Policies"].as_sequence();
        let shared = shared["ManagedPolicyArns"].as_sequence();
        let mut rows = Vec::new();
        for policy in own.into_iter().chain(shared).flatten() {
            add_policy(policy, "", resources, &mut rows)?;
        }
        if rows.is_empty() {
            rows.push("– | – | –".to_owned());
        }
        for row in rows {
            writeln!(page, "| {name} | {row} |")?;
        }
    }
    Ok(page)
}

/// A policy of the function's own, of the template, or of AWS; the last says nothing but what every
/// function may do.
fn add_policy(
    policy: &Value,
    condition: &str,
    resources: &Mapping,
    rows: &mut Vec<String>,
) -> Result<()> {
    if let Value::Tagged(tagged) = policy {
        if tagged.tag == "If" {
            let (policy, condition) = if_true(&tagged.value, condition)?;
            return add_policy(policy, &condition, resources, rows);
        }
        return match tagged.value.as_str().and_then(|name| resources.get(name)) {
            Some(shared) if tagged.tag == "Ref" => {
                let document = &shared["Properties"]["PolicyDocument"];
                add_policy(document, condition, resources, rows)
            }
            _ => Ok(()),
        };
    }
    if let Some(managed) = policy.as_str() {
        rows.push(format!("{managed} | – | {condition}"));
        return Ok(());
    }
    let statements = &policy["Statement"];
    let one = std::slice::from_ref(statements);
    for statement in statements.as_sequence().map_or(one, Vec::as_slice) {
        let (statement, condition) = match statement {
            Value::Tagged(tagged) if tagged.tag == "If" => if_true(&tagged.value, condition)?,
            statement => (statement, condition.to_owned()),
        };
        let actions = match &statement["Action"] {
            Value::Sequence(actions) => actions.iter().map(render).collect::<Vec<_>>().join(", "),
            action => render(action),
        };
        let mut conditions = vec![condition];
        if !statement["Condition"].is_null() {
            conditions.push(render(&statement["Condition"]));
        }
        conditions.retain(|condition| !condition.is_empty());
        let conditions = conditions.join(", ");
        let conditions = if conditions.is_empty() {
            "–"
        } else {
            &conditions
        };
        rows.push(format!(
            "{actions} | {} | {conditions}",
            render(&statement["Resource"])
        ));
    }
    Ok(())
}

/// What `!If [condition, then, otherwise]` stands for if its condition is true, which comes on top of
/// this one.
fn if_true<'a>(choice: &'a Value, condition: &str) -> Result<(&'a Value, String)> {
    let own = choice[0].as_str().context("an !If without a condition")?;
    let both = [condition, own];
    let both: Vec<&str> = both.into_iter().filter(|name| !name.is_empty()).collect();
    Ok((&choice[1], both.join(", ")))
}

fn render(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Tagged(tagged) => format!("{} {}", tagged.tag, render(&tagged.value)),
        Value::Mapping(mapping) => mapping
            .iter()
            .map(|(name, value)| format!("{} {}", render(name), render(value)))
            .collect::<Vec<_>>()
            .join(", "),
        Value::Sequence(values) => values.iter().map(render).collect::<Vec<_>>().join(", "),
        other => format!("{other:?}"),
    }
}
