//! Everything generated from the routes is up to date, and the template gives the gateway every
//! route.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use programs::SERVICES;
use route::{Method, Row};
use serde_yaml_ng::Value as Yaml;
use system_tests::generated;

fn repository() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn everything_generated_is_up_to_date() {
    let repository = repository();
    let outdated: Vec<_> = generated::files(&repository)
        .unwrap()
        .into_iter()
        .filter(|file| !file.is_up_to_date(&repository).unwrap())
        .map(|file| file.path)
        .collect();
    assert!(
        outdated.is_empty(),
        "outdated, run `make generate`: {outdated:?}"
    );
}

/// A program left over from a renamed route would be deployed by nobody, and still compiled.
#[test]
fn every_generated_program_has_its_route() {
    let routes: BTreeSet<_> = SERVICES
        .iter()
        .flat_map(|service| service.routes)
        .map(|row| row.function)
        .collect();
    for program in fs::read_dir(repository().join("programs/src/bin")).unwrap() {
        let program = program.unwrap().path();
        let is_generated = fs::read_to_string(&program)
            .unwrap()
            .contains("`make generate`");
        let name = program.file_stem().unwrap().to_str().unwrap();
        assert_eq!(is_generated, routes.contains(name), "{}", program.display());
    }
}

#[test]
fn every_function_belongs_to_one_service() {
    let mut services = BTreeMap::new();
    for service in SERVICES {
        for row in service.routes {
            let known = services.insert(row.function, service.name);
            assert!(known.is_none_or(|known| known == service.name), "{row:?}");
        }
    }
}

/// For each path and method, the function that the gateway calls, and whether no token is needed.
fn operations() -> BTreeMap<(String, String), (String, bool)> {
    let template = fs::read_to_string(repository().join("template.yaml")).unwrap();
    let template: Yaml = serde_yaml_ng::from_str(&template).unwrap();
    let paths = &template["Resources"]["Api"]["Properties"]["DefinitionBody"]["paths"];
    let mut operations = BTreeMap::new();
    for (path, item) in paths.as_mapping().unwrap() {
        for (method, operation) in item.as_mapping().unwrap() {
            let Yaml::Tagged(uri) = &operation["x-amazon-apigateway-integration"]["uri"] else {
                panic!("{path:?} {method:?}");
            };
            // LocalStack never looks at it, and on AWS nothing could be called without it.
            let role = serde_yaml_ng::to_string(
                &operation["x-amazon-apigateway-integration"]["credentials"],
            );
            let role = role.unwrap();
            assert!(role.contains("!GetAtt ApiInvocationsRole.Arn"), "{role}");
            let uri = uri.value.as_str().unwrap();
            let (_, function) = uri.split_once("functions/${").unwrap();
            let (function, _) = function.split_once(".Arn}").unwrap();
            let is_open = !operation["security"][0]["NONE"].is_null();
            let place = (
                path.as_str().unwrap().to_owned(),
                method.as_str().unwrap().to_owned(),
            );
            operations.insert(place, (function.to_owned(), is_open));
        }
    }
    operations
}

/// The gateway does not serve HEAD for a GET by itself, and to a method that a path lacks it
/// responds that a token is missing.
#[test]
fn the_gateway_has_every_route_and_a_function_for_everything_else() {
    let mut expected = BTreeMap::new();
    let mut put = |path: &str, method: &str, function: &str, is_open: bool| {
        let place = (path.to_owned(), method.to_owned());
        expected.insert(place, (function.to_owned(), is_open));
    };
    let rows: Vec<Row> = SERVICES
        .iter()
        .flat_map(|service| service.routes)
        .copied()
        .collect();
    let paths: BTreeSet<_> = rows.iter().map(|row| row.path).collect();
    for path in paths.into_iter().chain(["/", "/{proxy+}"]) {
        put(
            path,
            "x-amazon-apigateway-any-method",
            "UnroutedFunction",
            true,
        );
    }
    for row in rows {
        let function = generated::resource_name(row.function);
        let is_open = row.permission.is_none();
        put(
            row.path,
            &row.method.name().to_lowercase(),
            &function,
            is_open,
        );
        if row.method == Method::Get {
            put(row.path, "head", &function, is_open);
        }
    }
    assert_eq!(operations(), expected);
}
