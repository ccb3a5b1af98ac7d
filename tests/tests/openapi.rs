//! The published description of the API suits its readers and generators of clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;
use system_tests::generated;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn document() -> Value {
    serde_json::from_str(&read("docs/openapi.json")).unwrap()
}

/// A route, with `{}` for every parameter: parameter names differ between the document and the
/// template (`{proxy+}`).
fn route(method: &str, path: &str) -> String {
    let mut plain = String::new();
    let mut depth = 0;
    for character in path.chars() {
        depth -= i32::from(character == '}');
        if depth == 0 {
            plain.push(character);
        }
        depth += i32::from(character == '{');
    }
    format!("{} {plain}", method.to_uppercase())
}

fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        METHODS
            .iter()
            .filter_map(move |method| Some((route(method, path), item.get(*method)?)))
    })
}

#[test]
fn routes_with_preconditions_are_configured_and_document_428() {
    let template: Yaml = serde_yaml_ng::from_str(&read("template.yaml")).unwrap();
    let told: BTreeSet<_> = route::table()
        .iter()
        .filter(|row| {
            let function = &template["Resources"][generated::resource_name(row.function)];
            let variables = &function["Properties"]["Environment"]["Variables"];
            !variables["REQUIRE_IF_MATCH"].is_null()
        })
        .map(|row| route(row.method.name(), row.path))
        .collect();
    let document = document();
    let conditional: BTreeSet<_> = operations(&document)
        .filter(|(_, operation)| {
            let parameters = operation["parameters"].as_array();
            let mut parameters = parameters.into_iter().flatten();
            parameters.any(|parameter| parameter["name"] == "If-Match")
        })
        .map(|(route, _)| route)
        .collect();
    assert_eq!(conditional.len(), 28);
    assert_eq!(told, conditional);
    for (route, operation) in operations(&document) {
        let said = !operation["responses"]["428"].is_null();
        assert_eq!(said, conditional.contains(&route), "{route}");
    }
}

#[test]
fn every_operation_has_an_id_a_summary_and_tags() {
    let document = document();
    let mut names = BTreeSet::new();
    for (route, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap_or_default();
        assert!(!name.is_empty(), "{route} has no operationId");
        assert!(names.insert(name.to_owned()), "{name} is used twice");
        for field in ["summary", "tags"] {
            assert!(!operation[field].is_null(), "{route} has no {field}");
        }
    }
}

#[test]
fn every_problem_has_examples_each_described_once() {
    let document = document();
    let resolve = |of: &Value| {
        let target = of["$ref"].as_str()?.strip_prefix('#')?;
        document.pointer(target).cloned()
    };
    let mut used = BTreeSet::new();
    for (route, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let response = resolve(response).unwrap_or_else(|| response.clone());
            let content = &response["content"];
            // Patients who follow a link get a page, and who asks how the system is gets it as usual.
            let is_other =
                !content["text/html"].is_null() || !content["application/json"].is_null();
            if !status.starts_with(['4', '5', 'd']) || is_other {
                continue;
            }
            let content = &content["application/problem+json"];
            assert_eq!(
                content["schema"]["$ref"],
                "#/components/schemas/ProblemDocument"
            );
            let examples = content["examples"].as_object();
            let examples = examples.unwrap_or_else(|| panic!("{route} {status}: no example"));
            assert!(!examples.is_empty(), "{route} {status}");
            for (name, example) in examples {
                let example = resolve(example).unwrap_or_else(|| panic!("{name} is not shared"));
                let stated = example["value"]["status"].to_string();
                assert!(stated == *status || status == "default", "{route} {name}");
                used.insert(name.clone());
            }
        }
    }
    let examples = document["components"]["examples"].as_object().unwrap();
    assert_eq!(used, examples.keys().cloned().collect());
    let kinds = &document["components"]["schemas"]["ProblemType"]["enum"];
    assert_eq!(
        *kinds,
        json!(
            api::ProblemType::ALL
                .iter()
                .map(|kind| kind.uri())
                .collect::<Vec<_>>()
        )
    );
}

/// A front end finds for each reason what is said with it, and where.
#[test]
fn every_refusal_of_billing_has_an_example() {
    let document = document();
    let examples = document["components"]["examples"].as_object().unwrap();
    let mut told = BTreeSet::new();
    for example in examples.values() {
        told.extend(example["value"]["reason"].as_str());
    }
    let reasons = api::RefusalReason::ALL.iter();
    let reasons: BTreeSet<_> = reasons.map(|reason| reason.name()).collect();
    assert_eq!(told, reasons);
    let page = read("docs/billing.md");
    for reason in &reasons {
        assert!(page.contains(&format!("| `{reason}` |")), "{reason}");
    }
    let mut refused = 0;
    for (route, operation) in operations(&document) {
        let examples_of = &operation["responses"]["409"]["content"]["application/problem+json"];
        let names = examples_of["examples"].as_object().into_iter().flatten();
        if !is_billing(operation) {
            continue;
        }
        for (name, _) in names {
            let reason = &examples[name]["value"]["reason"];
            assert!(reason.is_string(), "{route} {name}");
            refused += 1;
        }
    }
    assert!(refused > reasons.len(), "{refused}");
}

fn is_billing(operation: &Value) -> bool {
    let tags = ["prices", "charges", "invoices", "payments", "refunds"];
    operation["tags"]
        .as_array()
        .unwrap()
        .iter()
        .any(|tag| tags.contains(&tag.as_str().unwrap()))
}

/// The example of a schema.
fn example(name: &str) -> Value {
    document()["components"]["schemas"][name]["example"].clone()
}

/// An amount in an example, in the currency's smallest unit.
fn units(of: &Value, field: &str) -> i64 {
    of[field]["minorUnits"].as_i64().unwrap()
}

/// What the parts of something come to.
fn sum(of: &Value, list: &str, field: &str) -> i64 {
    let parts = of[list].as_array().unwrap().iter();
    parts.map(|part| units(part, field)).sum()
}

#[test]
fn the_invoice_of_the_examples_adds_up() {
    let (charge, invoice) = (example("Charge"), example("Invoice"));
    let line = &invoice["lines"][0];
    assert_eq!(line["chargeId"], charge["id"]);
    for field in ["code", "quantity", "serviceDate", "unitPrice", "taxRatePpm"] {
        assert_eq!(line[field], charge[field], "{field}");
    }
    for of in [&invoice, line] {
        assert_eq!(units(of, "net") + units(of, "tax"), units(of, "total"));
    }
    for field in ["net", "tax", "total"] {
        assert_eq!(sum(&invoice, "lines", field), units(&invoice, field));
    }
    let settled = ["allocated", "credited", "writtenOff"].map(|field| units(&invoice, field));
    let due = units(&invoice, "total") - settled.iter().sum::<i64>();
    assert_eq!(units(&invoice, "due"), due);
    let summary = example("InvoiceSummary");
    for (field, value) in summary.as_object().unwrap() {
        assert_eq!(invoice[field], *value, "{field}");
    }
    let delivery = example("InvoiceDelivery");
    assert_eq!(delivery["invoiceId"], invoice["id"]);
}

#[test]
fn the_payment_of_the_examples_is_for_their_invoice() {
    let invoice = example("Invoice");
    let payment = example("Payment");
    let asked = example("NewPayment");
    for field in ["amount", "method", "reference"] {
        assert_eq!(asked[field], payment[field], "{field}");
    }
    assert_eq!(asked["invoiceIds"][0], invoice["id"]);
    let used = ["allocated", "refunded", "credit"].map(|field| units(&payment, field));
    assert_eq!(units(&payment, "amount"), used.iter().sum::<i64>());
    let allocation = &payment["allocations"][0];
    assert_eq!(
        sum(&payment, "allocations", "amount"),
        units(&payment, "allocated")
    );
    assert_eq!(allocation["invoiceId"], invoice["id"]);
    assert_eq!(allocation["invoiceNumber"], invoice["number"]);
    assert!(units(allocation, "amount") <= units(&invoice, "due"));
    // What is left is for another invoice: this one is paid.
    let later = example("Allocations");
    assert_ne!(later["allocations"][0]["invoiceId"], invoice["id"]);
    assert!(sum(&later, "allocations", "amount") <= units(&payment, "credit"));
}

#[test]
fn what_is_paid_back_and_credited_in_the_examples_adds_up() {
    let (invoice, payment) = (example("Invoice"), example("Payment"));
    let (refund, note) = (example("Refund"), example("CreditNote"));
    assert_eq!(refund["paymentId"], payment["id"]);
    assert!(units(&refund, "amount") <= units(&payment, "credit"));
    // The clinic of the examples has the limit that is set unless somebody sets another one.
    assert_eq!(
        refund["secondPersonRequired"],
        units(&refund, "amount") > 10_000
    );
    for field in ["net", "tax", "total"] {
        assert_eq!(sum(&note, "lines", field), units(&note, field));
    }
    assert_eq!(note["lines"][0]["lineId"], invoice["lines"][0]["id"]);
    assert_eq!(example("NewCreditNote")["amount"], note["total"]);

    let statement = example("Statement");
    let mut balance = units(&statement, "opening");
    for line in statement["lines"].as_array().unwrap() {
        balance += units(line, "amount");
        assert_eq!(units(line, "balance"), balance, "{line}");
    }
    assert_eq!(units(&statement, "closing"), balance);
    let said = |number: &Value| {
        let mut lines = statement["lines"].as_array().unwrap().iter();
        lines.any(|line| line["documentNumber"] == *number)
    };
    let completion = example("RefundCompletion");
    for number in [
        &invoice["number"],
        &payment["reference"],
        &note["number"],
        &completion["reference"],
    ] {
        assert!(said(number), "{number}");
    }
}

#[test]
fn the_reports_of_the_examples_add_up() {
    let payment = example("Payment");
    let aging = example("Aging");
    let buckets = [
        "notDue",
        "days1To30",
        "days31To60",
        "days61To90",
        "over90Days",
    ];
    let patients = aging["patients"].as_array().unwrap();
    for of in patients.iter().chain([&aging["total"]]) {
        let parts = buckets.map(|bucket| units(of, bucket));
        assert_eq!(units(of, "total"), parts.iter().sum::<i64>(), "{of}");
    }
    // It is the only page.
    assert_eq!(aging["nextCursor"], Value::Null);
    for field in buckets.into_iter().chain(["total", "credit"]) {
        assert_eq!(
            sum(&aging, "patients", field),
            units(&aging["total"], field)
        );
    }
    let mut theirs = patients.iter();
    let theirs = theirs.find(|of| of["patientId"] == payment["patientId"]);
    let theirs = theirs.unwrap();
    let balance = units(&example("Statement"), "closing");
    assert_eq!(units(theirs, "total") - units(theirs, "credit"), balance);

    let takings = example("DayTakings");
    assert_eq!(takings["date"], payment["date"]);
    for field in ["payments", "reversed", "refunds", "net"] {
        assert_eq!(
            sum(&takings, "methods", field),
            units(&takings["total"], field)
        );
    }
    for of in takings["methods"].as_array().unwrap() {
        let net = units(of, "payments") - units(of, "reversed") - units(of, "refunds");
        assert_eq!(units(of, "net"), net, "{of}");
    }
    assert_eq!(
        units(&takings["total"], "payments"),
        units(&payment, "amount")
    );

    let revenue = example("Revenue");
    for field in ["issued", "voided", "credited", "revenue", "tax"] {
        assert_eq!(
            sum(&revenue, "codes", field),
            units(&revenue["total"], field)
        );
    }
    let total = &revenue["total"];
    let left = units(total, "issued") - units(total, "voided") - units(total, "credited");
    assert_eq!(units(total, "revenue"), left);
}

/// Who repeats a request while the billing service still works on it waits for its response.
#[test]
fn billing_never_answers_that_a_request_is_in_progress() {
    let document = document();
    let in_progress = "#/components/responses/RequestInProgress";
    for (route, operation) in operations(&document).filter(|(_, of)| is_billing(of)) {
        let response = &operation["responses"]["409"];
        assert_ne!(response["$ref"], in_progress, "{route}");
        let examples = &response["content"]["application/problem+json"]["examples"];
        assert_eq!(examples["request-in-progress"], Value::Null, "{route}");
    }
}

/// The id of a request is not that of somebody in the other examples.
#[test]
fn each_id_in_the_examples_is_of_one_thing() {
    let document = document();
    let examples = document["components"]["examples"].as_object().unwrap();
    let problem = &document["components"]["schemas"]["ProblemDocument"]["example"];
    let problems = examples.values().map(|example| &example["value"]);
    for problem in problems.chain([problem]) {
        let id = problem["requestId"].as_str();
        assert!(id.is_none_or(|id| !id.starts_with("0199f7a2")), "{problem}");
    }
}

/// What a front end shows has a meaning, and what it sends is chosen by it.
#[test]
fn every_value_of_an_enum_has_a_meaning() {
    let document = document();
    let mut values = 0;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    // ISO 4217 says what its codes mean.
    for (name, schema) in schemas.iter().filter(|(name, _)| *name != "Currency") {
        let description = schema["description"].as_str().unwrap_or_default();
        for value in schema["enum"].as_array().into_iter().flatten() {
            let value = value.as_str().unwrap();
            let entry = format!("\n- `{value}`: ");
            assert!(description.contains(&entry), "{name}: {value}");
            values += 1;
        }
    }
    assert!(values > 150, "{values}");
}

#[test]
fn responses_that_ask_for_a_retry_document_retry_after() {
    let document = document();
    for (route, operation) in operations(&document) {
        let responses = &operation["responses"];
        assert!(
            !responses["429"].is_null(),
            "{route}: the gateway rejects too many requests"
        );
        if !operation["requestBody"].is_null() {
            for status in ["413", "415"] {
                assert!(!responses[status].is_null(), "{route} {status}");
            }
        }
    }
    for shared in ["TooManyRequests", "Unavailable"] {
        let headers = &document["components"]["responses"][shared]["headers"];
        assert!(!headers["Retry-After"].is_null(), "{shared}");
    }
}

#[test]
fn generated_clients_get_suitable_types() {
    fn visit(value: &Value, at: &str, found: &mut Vec<String>) {
        if value["format"] == "int64" {
            found.push(format!("{at} would be a bigint"));
        }
        let header = value["in"] == "header" && value["name"].is_string();
        if header && value["schema"]["type"] != "string" {
            found.push(format!("{at} is not a string"));
        }
        let members: Vec<(String, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(name, v)| (name.clone(), v)).collect(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(n, v)| (n.to_string(), v))
                .collect(),
            _ => Vec::new(),
        };
        for (name, member) in members {
            visit(member, &format!("{at}/{name}"), found);
        }
    }
    let document = document();
    let mut found = Vec::new();
    visit(&document, "", &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

/// Clients and generators take a read-only property away from what they send; of items, they would
/// send those.
#[test]
fn what_is_read_only_is_a_whole_property() {
    fn visit(value: &Value, at: &str, found: &mut Vec<String>) {
        if value["items"]["readOnly"] == true {
            found.push(at.to_owned());
        }
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    visit(field, &format!("{at}/{name}"), found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| visit(item, at, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    visit(&document(), "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn headers_of_every_response_are_declared() {
    let document = document();
    for (route, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let named = response["$ref"]
                .as_str()
                .and_then(|shared| shared.strip_prefix('#'));
            let response = named.map_or(response, |shared| document.pointer(shared).unwrap());
            assert!(
                !response["headers"]["X-Request-Id"].is_null(),
                "{route} {status}"
            );
            let changes_once = status.starts_with('2') && takes(operation, "Idempotency-Key");
            let replayed = &response["headers"]["Idempotency-Replayed"];
            assert_eq!(changes_once, !replayed.is_null(), "{route} {status}");
        }
    }
}

fn takes(operation: &Value, header: &str) -> bool {
    let parameters = operation["parameters"].as_array();
    parameters.is_some_and(|all| all.iter().any(|parameter| parameter["name"] == header))
}

/// The names of the schemas that this one refers to.
fn references(schema: &Value) -> Vec<&str> {
    let own = schema["$ref"].as_str().into_iter();
    let own = own.filter_map(|path| path.rsplit('/').next());
    let members: Vec<&Value> = match schema {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    own.chain(members.into_iter().flat_map(references))
        .collect()
}

/// These schemas, and all that they consist of.
fn reached<'d>(schemas: &'d Value, mut unread: Vec<&'d str>) -> BTreeSet<&'d str> {
    let mut read = BTreeSet::new();
    while let Some(name) = unread.pop() {
        if read.insert(name) {
            unread.extend(references(&schemas[name]));
        }
    }
    read
}

/// The JSON that requests may have, by the names of its schemas.
fn bodies(document: &Value) -> impl Iterator<Item = (String, Vec<&str>)> {
    operations(document).filter_map(|(route, operation)| {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        // One that may be missing is one of two.
        let either = body["oneOf"].as_array().into_iter().flatten();
        let names = either.chain([body]).filter_map(|schema| {
            let name = schema["$ref"].as_str()?;
            name.rsplit('/').next()
        });
        (!body.is_null()).then(|| (route, names.collect()))
    })
}

/// Whoever misspells a field is told so, and their tools can tell them earlier. What is also in responses
/// may get more fields one day, which nobody is to stumble over.
#[test]
fn a_body_that_refuses_other_fields_says_so() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let responses = operations(&document).map(|(_, operation)| &operation["responses"]);
    let answered = reached(schemas, responses.flat_map(references).collect());
    let mut open = Vec::new();
    for (route, names) in bodies(&document) {
        assert_eq!(names.len(), 1, "{route} has a body without a name");
        for name in reached(schemas, names) {
            let schema = &schemas[name];
            let is_object = !schema["properties"].is_null() && !answered.contains(name);
            if is_object && schema["additionalProperties"] != false {
                open.push(format!("{route}: {name}"));
            }
        }
    }
    assert_eq!(open, Vec::<String>::new());
}

/// A field of a response may be null but is always present: only then can the type in a generated
/// client be exact.
#[test]
fn fields_that_are_always_present_are_required() {
    let document = document();
    // Omitted if there is no value.
    let optional = [
        ("ProblemDocument", "status"),
        ("ProblemDocument", "conflicts"),
        ("ProblemDocument", "errors"),
        ("ProblemDocument", "existingPatientId"),
        ("ProblemDocument", "reason"),
        ("ProblemDocument", "requestId"),
        ("JsonWebKey", "retiresAt"),
    ];
    let mut inputs: BTreeSet<_> = bodies(&document).flat_map(|(_, names)| names).collect();
    let schemas = &document["components"]["schemas"];
    let mut unread: Vec<_> = inputs.iter().copied().collect();
    while let Some(name) = unread.pop() {
        let parts = references(&schemas[name]).into_iter();
        // What is read and sent back has all its fields.
        let parts = parts.filter(|part| part.ends_with("Input") || part.ends_with("Choices"));
        unread.extend(parts.filter(|part| inputs.insert(part)));
    }
    for (name, schema) in schemas.as_object().unwrap() {
        let required: Vec<_> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        for field in schema["properties"]
            .as_object()
            .into_iter()
            .flat_map(|fields| fields.keys())
        {
            let known = inputs.contains(&**name) || optional.contains(&(&**name, &**field));
            assert!(known || required.contains(&&json!(field)), "{name}.{field}");
        }
    }
}

#[test]
fn every_reference_resolves() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member.as_str() {
                        Some(target) if name == "$ref" => {
                            found.insert(target.to_owned());
                        }
                        _ => references(member, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}

/// Of two types with one name, the document would have one: for whoever uses the other, a wrong one.
#[test]
fn no_two_types_have_the_same_name_in_the_document() {
    let mut known: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in ["functions", "shared"] {
        let mut folders = vec![
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("..")
                .join(folder),
        ];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    for name in documented_types(&fs::read_to_string(&path).unwrap()) {
                        let other = known.insert(name.clone(), path.clone());
                        assert_eq!(
                            other,
                            None,
                            "{name} is there twice, also in {}",
                            path.display()
                        );
                    }
                }
            }
        }
    }
    assert!(known.len() > 100, "{}", known.len());
}

/// The names that types of a source file have in the document.
fn documented_types(source: &str) -> Vec<String> {
    // Attributes of a type may be on several lines, and stand between it and what derives its schema.
    let derived = source.split("ToSchema").skip(1);
    derived
        .filter_map(|rest| {
            let (attributes, rest) = ["struct ", "enum "]
                .iter()
                .filter_map(|keyword| rest.split_once(keyword))
                .min_by_key(|(before, _)| before.len())?;
            let is_derive = attributes.trim_start().starts_with([',', ')'])
                && !attributes.contains("fn ")
                && !attributes.contains("use ");
            let renamed = attributes.split_once("#[schema(").and_then(|(_, schema)| {
                let (_, name) = schema.split_once("as = ")?;
                name.split([',', ')']).next()
            });
            let own = rest
                .split(|character: char| !character.is_alphanumeric())
                .next()?;
            is_derive.then(|| renamed.unwrap_or(own).trim().to_owned())
        })
        .collect()
}
