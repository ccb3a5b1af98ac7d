//! What a role may call, as the IAM policy that API Gateway evaluates.
//!
//! API Gateway keeps the policy for as long as it keeps the authorizer's result, and
//! holds every later request with the same token against it. So it covers all that the
//! role may call, not just the route of the request that asked.

use std::str::FromStr;

use aws_lambda_events::{
    apigw::ApiGatewayCustomAuthorizerPolicy,
    iam::{IamPolicyEffect, IamPolicyStatement},
};
use identity::{Role, Route};

/// A deployed API: `arn:aws:execute-api:{region}:{account}:{api}/{stage}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StageArn(String);

/// The text is not the ARN of a method of an API.
#[derive(Debug, thiserror::Error)]
#[error("not the ARN of an API's method")]
pub(crate) struct NoMethodArn;

/// Reads the ARN of a method: `{stage ARN}/{method}/{path}`.
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

impl StageArn {
    /// The ARNs of every request to a route. A parameter becomes `*`, which in IAM matches
    /// anything, slashes included. Who may GET may HEAD, and a slash at the end of the path
    /// makes no other route.
    fn requests_to(&self, route: &Route) -> Vec<String> {
        let segments = route.path.split('/');
        let path = segments
            .map(|segment| if is_parameter(segment) { "*" } else { segment })
            .collect::<Vec<_>>()
            .join("/");
        let methods = match route.method {
            "GET" => vec!["GET", "HEAD"],
            method => vec![method],
        };
        let ends = if path.ends_with('*') {
            vec![""]
        } else {
            vec!["", "/"]
        };
        let requests = methods.iter().flat_map(|method| {
            let request = format!("{}/{method}{path}", self.0);
            ends.iter().map(move |end| format!("{request}{end}"))
        });
        requests.collect()
    }
}

/// The policy for a role, given every route behind the authorizer.
///
/// What the role may not call is denied by not being allowed, except where the `*` of an
/// allowed route reaches further than the route itself: `/patients/*` is also
/// `/patients/1/billing-account`. There the policy says no.
pub(crate) fn policy_for(
    role: Role,
    stage: &StageArn,
    routes: &[Route],
) -> ApiGatewayCustomAuthorizerPolicy {
    let (allowed, denied): (Vec<&Route>, Vec<&Route>) =
        routes.iter().partition(|route| role.may(route.permission));
    let reached = denied.into_iter().filter(|denied| {
        allowed
            .iter()
            .any(|allowed| allowed.method == denied.method && reaches(allowed, denied))
    });

    let mut policy = ApiGatewayCustomAuthorizerPolicy::default();
    policy.version = Some("2012-10-17".to_owned());
    policy.statement = [
        statement(
            IamPolicyEffect::Allow,
            allowed
                .iter()
                .flat_map(|route| stage.requests_to(route))
                .collect(),
        ),
        statement(
            IamPolicyEffect::Deny,
            reached.flat_map(|route| stage.requests_to(route)).collect(),
        ),
    ]
    .into_iter()
    .filter(|statement| !statement.resource.is_empty())
    .collect();
    policy
}

fn statement(effect: IamPolicyEffect, resources: Vec<String>) -> IamPolicyStatement {
    let mut statement = IamPolicyStatement::default();
    statement.action = vec!["execute-api:Invoke".to_owned()];
    statement.effect = effect;
    statement.resource = resources;
    statement
}

/// Whether the wildcards of one route's ARN reach requests to another.
fn reaches(wide: &Route, narrow: &Route) -> bool {
    fn segments_reach(wide: &[&str], narrow: &[&str]) -> bool {
        match (wide.split_first(), narrow.split_first()) {
            (None, None) => true,
            (Some((segment, wide)), Some(_)) if is_parameter(segment) => {
                (1..=narrow.len()).any(|many| segments_reach(wide, &narrow[many..]))
            }
            (Some((segment, wide)), Some((other, narrow))) => {
                segment == other && segments_reach(wide, narrow)
            }
            _ => false,
        }
    }
    let segments = |route: &Route| route.path.split('/').collect::<Vec<_>>();
    segments_reach(&segments(wide), &segments(narrow))
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}')
}

#[cfg(test)]
mod tests {
    use identity::{Permission, ROUTES};

    use super::*;

    const METHOD: &str =
        "arn:aws:execute-api:eu-central-1:000000000000:a1b2c3/local/GET/api/patients";

    fn stage() -> StageArn {
        METHOD.parse().unwrap()
    }

    /// What IAM makes of a policy: `*` matches anything and `?` any one character, an
    /// explicit Deny wins, and what is not allowed is denied.
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

    /// The ARN that API Gateway asks about for a request to the route.
    fn request_to(route: &Route) -> String {
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
            let policy = policy_for(role, &stage(), ROUTES);
            for route in ROUTES {
                let request = request_to(route);
                let may = role.may(route.permission);
                for request in [format!("{request}/"), request] {
                    assert_eq!(allows(&policy, &request), may, "{role} {request}");
                    let head = request.replace("/GET/", "/HEAD/");
                    assert_eq!(allows(&policy, &head), may, "{role} {head}");
                }
            }
        }
    }

    #[test]
    fn a_policy_is_for_one_stage_of_one_api_and_its_routes() {
        let policy = policy_for(Role::Admin, &stage(), ROUTES);
        assert!(allows(&policy, METHOD));
        for elsewhere in [
            METHOD.replace("a1b2c3", "another"),
            METHOD.replace("/local/", "/production/"),
            METHOD.replace("000000000000", "111111111111"),
            METHOD.replace("/GET/", "/PATCH/"),
            METHOD.replace("/api/patients", "/api/elsewhere"),
        ] {
            assert!(!allows(&policy, &elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_wide_route_does_not_open_the_narrower_ones_below_it() {
        let route = |method, path, permission| Route {
            method,
            path,
            permission,
        };
        let routes = [
            route("GET", "/things/{id}", Permission::ReadPatient),
            route("GET", "/things/export", Permission::DeletePatient),
            route("GET", "/things/{id}/parts/{id}", Permission::DeletePatient),
            route("PUT", "/things/{id}/parts", Permission::DeletePatient),
            route("GET", "/things", Permission::ListPatients),
            route("GET", "/{id}/open", Permission::ReadPatient),
        ];
        let policy = policy_for(Role::Clinician, &stage(), &routes);
        for route in &routes {
            assert_eq!(
                allows(&policy, &request_to(route)),
                Role::Clinician.may(route.permission),
                "{} {}",
                route.method,
                route.path
            );
        }
    }

    #[test]
    fn what_is_no_method_of_an_api_has_no_stage() {
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
