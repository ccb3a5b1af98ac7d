//! What a role may call, as the IAM policy that API Gateway evaluates.
//!
//! API Gateway caches the policy with the authorizer's result, and evaluates it for every later
//! request with the same token. So it covers everything that the role may call, not just the
//! requested route.

use std::{collections::BTreeMap, str::FromStr};

use aws_lambda_events::{
    apigw::ApiGatewayCustomAuthorizerPolicy,
    iam::{IamPolicyEffect, IamPolicyStatement},
};
use identity::Role;
use route::{Method, Row};

/// A stage of an API: `arn:aws:execute-api:{region}:{account}:{api}/{stage}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StageArn(String);

/// The text is not the ARN of an API's method.
#[derive(Debug, thiserror::Error)]
#[error("not the ARN of an API's method")]
pub(crate) struct NoMethodArn;

/// Parses the ARN of a method: `{stage ARN}/{method}/{path}`.
impl FromStr for StageArn {
    type Err = NoMethodArn;

    fn from_str(method_arn: &str) -> Result<Self, Self::Err> {
        let mut parts = method_arn.splitn(4, '/');
        let mut part = || {
            parts
                .next()
                .filter(|part| !part.is_empty())
                .ok_or(NoMethodArn)
        };
        let (api, stage, _method) = (part()?, part()?, part()?);
        let wildcards = |text: &str| text.contains(['*', '?']);
        if api.split(':').nth(2) != Some("execute-api") || wildcards(api) || wildcards(stage) {
            return Err(NoMethodArn);
        }
        Ok(Self(format!("{api}/{stage}")))
    }
}

/// The requests that a statement covers. `*` stands for any method, and in the path for anything,
/// including slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requests {
    method: &'static str,
    /// Begins with a slash, or is empty.
    path: String,
}

impl StageArn {
    fn of(&self, requests: &Requests) -> String {
        format!("{}/{}{}", self.0, requests.method, requests.path)
    }
}

/// The policy for a role, given every route.
///
/// Whatever is not allowed is denied implicitly, except where a `*` in what is allowed covers more
/// than the role's routes: `/patients/*` also covers `/patients/1/billing-account`. These requests
/// are denied explicitly.
pub(crate) fn policy_for(
    role: Role,
    stage: &StageArn,
    routes: &[Row],
) -> ApiGatewayCustomAuthorizerPolicy {
    let behind_the_authorizer: Vec<&Row> = routes
        .iter()
        .filter(|row| row.permission.is_some())
        .collect();
    let allowed = allowed(role, "", &behind_the_authorizer);
    let mut denied: Vec<Requests> = behind_the_authorizer
        .iter()
        .filter(|row| !may(role, row))
        .flat_map(|row| {
            let mut at = behind_the_authorizer.iter();
            // If it may call nothing at this path, one statement covers all methods.
            if at.any(|other| other.path == row.path && may(role, other)) {
                requests_to(row)
            } else {
                requests_with(&["*"], row.path)
            }
        })
        .filter(|denied| allowed.iter().any(|allowed| reaches(allowed, denied)))
        .collect();
    denied.dedup();

    let arns = |requests: &[Requests]| requests.iter().map(|some| stage.of(some)).collect();
    let mut policy = ApiGatewayCustomAuthorizerPolicy::default();
    policy.version = Some("2012-10-17".to_owned());
    policy.statement = [
        statement(IamPolicyEffect::Allow, arns(&allowed)),
        statement(IamPolicyEffect::Deny, arns(&denied)),
    ]
    .into_iter()
    .filter(|statement| !statement.resource.is_empty())
    .collect();
    policy
}

fn may(role: Role, row: &Row) -> bool {
    row.permission
        .is_some_and(|permission| role.may(permission))
}

/// What the role may call of these routes, which are all those at this path and below it, as short
/// as possible: if it may call all of them, one pattern covers them.
fn allowed(role: Role, path: &str, routes: &[&Row]) -> Vec<Requests> {
    if routes.iter().all(|row| may(role, row)) {
        return at_and_below("*", path);
    }
    let mut at: Vec<&Row> = Vec::new();
    let mut below: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in routes {
        match row.path[path.len()..].strip_prefix('/') {
            Some(rest) => {
                let segment = rest.split('/').next().unwrap_or_default();
                below.entry(segment).or_default().push(row);
            }
            None => at.push(row),
        }
    }
    let mut requests = if !at.is_empty() && at.iter().all(|row| may(role, row)) {
        requests_with(&["*"], path)
    } else {
        let permitted = at.into_iter().filter(|row| may(role, row));
        permitted.flat_map(requests_to).collect()
    };
    for (segment, routes) in below {
        requests.extend(allowed(role, &format!("{path}/{segment}"), &routes));
    }
    // If it may call almost everything, allowing all of it is shorter: the policy denies the rest.
    let denied = routes.iter().filter(|row| !may(role, row)).count();
    let all = at_and_below("*", path);
    if all.len() + 2 * denied < requests.len() {
        return all;
    }
    requests
}

/// Every request to a path and everything below it, with or without a trailing slash.
fn at_and_below(method: &'static str, path: &str) -> Vec<Requests> {
    let path = pattern(path);
    let paths = if path.is_empty() {
        vec!["/*".to_owned()]
    } else if path.ends_with('*') {
        vec![path]
    } else {
        let below = format!("{path}/*");
        vec![path, below]
    };
    paths
        .into_iter()
        .map(|path| Requests { method, path })
        .collect()
}

/// Every request to a route. Permission to GET includes HEAD.
fn requests_to(row: &Row) -> Vec<Requests> {
    match row.method {
        Method::Get => requests_with(&["GET", "HEAD"], row.path),
        method => requests_with(&[method.name()], row.path),
    }
}

/// Every request to a path with these methods, with or without a trailing slash.
fn requests_with(methods: &[&'static str], path: &str) -> Vec<Requests> {
    let path = pattern(path);
    let ends: &[&str] = if path.ends_with('*') {
        &[""]
    } else {
        &["", "/"]
    };
    let mut requests = Vec::new();
    for &method in methods {
        requests.extend(ends.iter().map(|end| Requests {
            method,
            path: format!("{path}{end}"),
        }));
    }
    requests
}

/// A path with `*` for its parameters, which in IAM matches anything, including slashes.
fn pattern(path: &str) -> String {
    let is_parameter = |segment: &str| segment.starts_with('{') && segment.ends_with('}');
    path.split('/')
        .map(|segment| if is_parameter(segment) { "*" } else { segment })
        .collect::<Vec<_>>()
        .join("/")
}

fn statement(effect: IamPolicyEffect, resources: Vec<String>) -> IamPolicyStatement {
    let mut statement = IamPolicyStatement::default();
    statement.action = vec!["execute-api:Invoke".to_owned()];
    statement.effect = effect;
    statement.resource = resources;
    statement
}

/// Whether `allowed` covers any of the requests in `denied`.
fn reaches(allowed: &Requests, denied: &Requests) -> bool {
    fn segments_reach(wide: &[&str], narrow: &[&str]) -> bool {
        match (wide.split_first(), narrow.split_first()) {
            (None, None) => true,
            (Some((&"*", wide)), Some(_)) => {
                (1..=narrow.len()).any(|many| segments_reach(wide, &narrow[many..]))
            }
            (Some((segment, wide)), Some((other, narrow))) => {
                segment == other && segments_reach(wide, narrow)
            }
            _ => false,
        }
    }
    let segments = |requests: &Requests| -> Vec<String> {
        let path = requests.path.trim_end_matches('/');
        path.split('/').map(ToOwned::to_owned).collect()
    };
    let (wide, narrow) = (segments(allowed), segments(denied));
    let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
    let narrow: Vec<&str> = narrow.iter().map(String::as_str).collect();
    let any = allowed.method == "*" || denied.method == "*";
    let same_method = any || allowed.method == denied.method;
    same_method && segments_reach(&wide, &narrow)
}

#[cfg(test)]
mod tests {
    use identity::Permission;
    use route::Route;

    use super::*;

    const METHOD: &str =
        "arn:aws:execute-api:eu-central-1:000000000000:a1b2c3/local/GET/api/patients";

    fn stage() -> StageArn {
        METHOD.parse().unwrap()
    }

    /// Evaluates a policy as IAM does: `*` matches anything and `?` any one character, an explicit
    /// Deny wins, and what is not allowed is denied.
    fn allows(policy: &ApiGatewayCustomAuthorizerPolicy, arn: &str) -> bool {
        fn matches(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern, text) {
                ([], []) => true,
                ([b'*', rest @ ..], _) => {
                    (0..=text.len()).any(|skipped| matches(rest, &text[skipped..]))
                }
                ([b'?', pattern @ ..], [_, text @ ..]) => matches(pattern, text),
                ([expected, pattern @ ..], [actual, text @ ..]) => {
                    expected == actual && matches(pattern, text)
                }
                _ => false,
            }
        }
        let any = |effect: &IamPolicyEffect| {
            policy
                .statement
                .iter()
                .filter(|statement| statement.effect == *effect)
                .filter(|statement| statement.action == ["execute-api:Invoke"])
                .flat_map(|statement| &statement.resource)
                .any(|pattern| matches(pattern.as_bytes(), arn.as_bytes()))
        };
        any(&IamPolicyEffect::Allow) && !any(&IamPolicyEffect::Deny)
    }

    /// The ARN that API Gateway evaluates for a request to the route.
    fn request_to(route: &Row) -> String {
        let path = route
            .path
            .replace("{id}", "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa");
        assert!(!path.contains('{'), "{path}: give the parameter a value");
        format!(
            "arn:aws:execute-api:eu-central-1:000000000000:a1b2c3/local/{}{path}",
            route.method
        )
    }

    #[test]
    fn a_policy_allows_exactly_what_the_role_may() {
        for role in Role::ALL {
            let policy = policy_for(role, &stage(), route::table());
            for route in route::table() {
                let Some(permission) = route.permission else {
                    continue;
                };
                let request = request_to(route);
                let may = role.may(permission);
                for request in [format!("{request}/"), request] {
                    assert_eq!(allows(&policy, &request), may, "{role} {request}");
                    let head = request.replace("/GET/", "/HEAD/");
                    assert_eq!(allows(&policy, &head), may, "{role} {head}");
                }
            }
        }
    }

    #[test]
    fn a_policy_applies_to_one_stage_of_one_api() {
        let policy = policy_for(Role::Admin, &stage(), route::table());
        assert!(allows(&policy, METHOD));
        for elsewhere in [
            METHOD.replace("a1b2c3", "another"),
            METHOD.replace("/local/", "/production/"),
            METHOD.replace("000000000000", "111111111111"),
        ] {
            assert!(!allows(&policy, &elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_wide_route_does_not_open_the_narrower_ones_below_it() {
        let get = |path, permission| Route::get(path).requires(permission).row();
        let routes = [
            get("/things/{id}", Permission::ReadPatient),
            get("/things/export", Permission::DeletePatient),
            get("/things/{id}/parts/{id}", Permission::DeletePatient),
            Route::put("/things/{id}/parts")
                .requires(Permission::DeletePatient)
                .row(),
            get("/things", Permission::ListPatients),
            get("/{id}/open", Permission::ReadPatient),
        ];
        let policy = policy_for(Role::Clinician, &stage(), &routes);
        for route in &routes {
            assert_eq!(
                allows(&policy, &request_to(route)),
                Role::Clinician.may(route.permission.unwrap()),
                "{} {}",
                route.method,
                route.path
            );
        }
    }

    /// AWS does not document a limit for the result of an authorizer. This is its limit for the
    /// resource policy of an API.
    const POLICY_BYTES: usize = 8192;

    #[test]
    fn a_policy_is_short_and_stays_short_with_120_routes() {
        for role in Role::ALL {
            let policy = serde_json::to_string(&policy_for(role, &stage(), route::table()));
            let today = policy.unwrap().len();
            let projected = today * 120 / route::table().len();
            assert!(
                projected < POLICY_BYTES * 8 / 10,
                "{role}: {today} bytes, {projected} with 120 routes"
            );
        }
    }

    #[test]
    fn one_pattern_covers_everything_below_a_path_that_may_be_called() {
        let get = |path, permission| Route::get(path).requires(permission).row();
        let routes = [
            get("/things", Permission::ReadPatient),
            get("/things/{id}", Permission::ReadPatient),
            get("/things/{id}/parts", Permission::ReadPatient),
            get("/other", Permission::DeletePatient),
        ];
        let policy = policy_for(Role::Clinician, &stage(), &routes);
        let [allow] = &policy.statement[..] else {
            panic!("{policy:?}")
        };
        let stage = stage().0;
        let expected = [format!("{stage}/*/things"), format!("{stage}/*/things/*")];
        assert_eq!(allow.resource, expected);
    }

    #[test]
    fn an_arn_that_is_not_of_a_method_has_no_stage() {
        assert_eq!(
            stage().0,
            "arn:aws:execute-api:eu-central-1:000000000000:a1b2c3/local"
        );
        for text in [
            "",
            "*",
            "arn:aws:execute-api:eu-central-1:000000000000:a1b2c3",
            "arn:aws:execute-api:eu-central-1:000000000000:a1b2c3/local",
            "arn:aws:execute-api:eu-central-1:000000000000:a1b2c3/*/GET/",
            "arn:aws:execute-api:eu-central-1:000000000000:*/local/GET/",
            "arn:aws:s3:eu-central-1:000000000000:a1b2c3/local/GET/",
        ] {
            assert!(text.parse::<StageArn>().is_err(), "{text}");
        }
    }
}
