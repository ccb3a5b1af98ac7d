//! What a role may call, as the IAM policy that API Gateway evaluates.
//!
//! API Gateway caches the policy with the authorizer's result, and evaluates it for every later
//! request with the same token. So it covers everything that the role may call, not just the
//! requested route.

use std::{collections::BTreeSet, str::FromStr};

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

/// The policy for a role, given every route.
///
/// Whatever is not allowed is denied implicitly, except where a `*` in what is allowed covers more
/// than the role's routes: `/patients/*` also covers `/patients/1/billing-account`. These requests
/// are denied explicitly, unless that would deny what the role may call: the function checks the
/// permission again.
///
/// The method is always spelled out: `*` matches slashes, so `*/auth` would also match
/// `GET/api/accounts/auth`.
pub(crate) fn policy_for(
    role: Role,
    stage: &StageArn,
    routes: &[Row],
) -> ApiGatewayCustomAuthorizerPolicy {
    let (mut allow, mut deny) = (Vec::new(), Vec::new());
    for (method, names) in METHODS {
        let (permitted, refused): (Vec<&Row>, Vec<&Row>) = routes
            .iter()
            .filter(|row| row.method == *method && row.permission.is_some())
            .partition(|row| may(role, row));
        let allowed = without_covered(&allowed(&permitted, &refused, ""));
        let denied: Vec<String> = refused
            .iter()
            .flat_map(|row| exactly(row.path))
            .filter(|denied| allowed.iter().any(|allowed| matches(allowed, denied)))
            .filter(|denied| !permitted.iter().any(|row| covers(denied, row.path)))
            .collect();
        for name in *names {
            let arn = |path: &String| format!("{}/{name}{path}", stage.0);
            allow.extend(allowed.iter().map(arn));
            deny.extend(denied.iter().map(arn));
        }
    }

    let mut policy = ApiGatewayCustomAuthorizerPolicy::default();
    policy.version = Some("2012-10-17".to_owned());
    policy.statement = [
        statement(IamPolicyEffect::Allow, allow),
        statement(IamPolicyEffect::Deny, deny),
    ]
    .into_iter()
    .filter(|statement| !statement.resource.is_empty())
    .collect();
    policy
}

/// The methods of routes, and what API Gateway calls their requests. Permission to GET includes
/// HEAD.
const METHODS: &[(Method, &[&str])] = &[
    (Method::Get, &["GET", "HEAD"]),
    (Method::Post, &["POST"]),
    (Method::Put, &["PUT"]),
    (Method::Patch, &["PATCH"]),
    (Method::Delete, &["DELETE"]),
];

fn may(role: Role, row: &Row) -> bool {
    row.permission
        .is_some_and(|permission| role.may(permission))
}

/// Patterns that cover the permitted routes of a method at this path and below it, as few as
/// possible: if nothing below it is refused, two cover everything.
fn allowed(permitted: &[&Row], refused: &[&Row], path: &str) -> Vec<String> {
    let below: Vec<&Row> = permitted
        .iter()
        .copied()
        .filter(|row| is_at_or_below(row.path, path))
        .collect();
    match &below[..] {
        [] => return Vec::new(),
        [only] => return exactly(only.path),
        _ => {}
    }
    let everything = at_and_below(path);
    let reaches_too_far = refused
        .iter()
        .any(|row| everything.iter().any(|pattern| matches(pattern, row.path)));
    if !reaches_too_far {
        return everything;
    }
    let mut patterns = Vec::new();
    let mut segments = BTreeSet::new();
    for row in &below {
        match row.path[path.len()..].strip_prefix('/') {
            Some(rest) => {
                segments.insert(rest.split('/').next().unwrap_or_default());
            }
            None => patterns.extend(exactly(row.path)),
        }
    }
    for segment in segments {
        patterns.extend(allowed(&below, refused, &format!("{path}/{segment}")));
    }
    patterns
}

/// Those patterns that none of the others covers. What `/patients/*` matches includes all that
/// `/patients/*/charges` does.
fn without_covered(patterns: &[String]) -> Vec<String> {
    let covers =
        |by: &String, pattern: &String| by != pattern && globs(by.as_bytes(), pattern.as_bytes());
    let is_needed = |pattern: &&String| !patterns.iter().any(|by| covers(by, pattern));
    patterns.iter().filter(is_needed).cloned().collect()
}

/// Whether a pattern, in which `*` stands for any text, matches this one as it is written: then it
/// matches whatever this one does.
fn globs(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|start| globs(rest, &text[start..])),
        Some((byte, rest)) => text
            .split_first()
            .is_some_and(|(first, text)| first == byte && globs(rest, text)),
    }
}

fn is_at_or_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Every request to a path and everything below it, with or without a trailing slash.
fn at_and_below(path: &str) -> Vec<String> {
    let path = pattern(path);
    let below = format!("{path}/*");
    if path.is_empty() {
        vec![below]
    } else if path.ends_with('*') {
        vec![path]
    } else {
        vec![path, below]
    }
}

/// Every request to a path, with or without a trailing slash.
fn exactly(path: &str) -> Vec<String> {
    let path = pattern(path);
    if path.ends_with('*') {
        vec![path]
    } else {
        let with_slash = format!("{path}/");
        vec![path, with_slash]
    }
}

/// A path with `*` for its parameters, which in IAM matches anything, including slashes.
fn pattern(path: &str) -> String {
    path.split('/')
        .map(|segment| if is_parameter(segment) { "*" } else { segment })
        .collect::<Vec<_>>()
        .join("/")
}

/// A parameter of a path or of a pattern.
fn is_parameter(segment: &str) -> bool {
    segment == "*" || (segment.starts_with('{') && segment.ends_with('}'))
}

/// Whether a pattern of one route covers requests that the gateway takes to this one. Of two routes
/// with as many segments, it prefers the one that is first to name a segment. A parameter never has
/// the name of a segment for a value: no version is called `billing-account`.
fn covers(pattern: &str, route: &str) -> bool {
    let parameters = |path: &str| -> Vec<bool> {
        let segments = path.trim_end_matches('/').split('/');
        segments.map(is_parameter).collect()
    };
    let (other, this) = (parameters(pattern), parameters(route));
    let gets_them = this.len() != other.len() || this <= other;
    gets_them && segments_match(pattern, route, |name, of_route| name == of_route)
}

/// Whether a pattern matches some request to a route. A `*` matches one segment or more, and a
/// parameter of the route may have any value.
fn matches(pattern: &str, route: &str) -> bool {
    segments_match(pattern, route, |name, of_route| {
        name == of_route || is_parameter(of_route)
    })
}

/// Whether each segment matches, where a `*` matches one or more, and a name what `is_same` says.
fn segments_match(pattern: &str, route: &str, is_same: fn(&str, &str) -> bool) -> bool {
    fn all(pattern: &[&str], route: &[&str], is_same: fn(&str, &str) -> bool) -> bool {
        match (pattern.split_first(), route.split_first()) {
            (None, None) => true,
            (Some((&"*", pattern)), Some(_)) => {
                (1..=route.len()).any(|many| all(pattern, &route[many..], is_same))
            }
            (Some((name, pattern)), Some((of_route, route))) => {
                is_same(name, of_route) && all(pattern, route, is_same)
            }
            _ => false,
        }
    }
    let segments = |path| {
        str::trim_end_matches(path, '/')
            .split('/')
            .collect::<Vec<_>>()
    };
    all(&segments(pattern), &segments(route), is_same)
}

fn statement(effect: IamPolicyEffect, resources: Vec<String>) -> IamPolicyStatement {
    let mut statement = IamPolicyStatement::default();
    statement.action = vec!["execute-api:Invoke".to_owned()];
    statement.effect = effect;
    statement.resource = resources;
    statement
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

    /// The path of a request to the route, with these values for its parameters.
    fn path_of(route: &Row, mut value: impl FnMut(&str) -> String) -> String {
        let segments = route.path.split('/').map(|segment| {
            if is_parameter(segment) {
                value(segment)
            } else {
                segment.to_owned()
            }
        });
        segments.collect::<Vec<_>>().join("/")
    }

    /// The ARN that API Gateway evaluates for a request to the route.
    fn request(route: &Row, value: impl FnMut(&str) -> String) -> String {
        format!("{}/{}{}", stage().0, route.method, path_of(route, value))
    }

    fn request_to(route: &Row) -> String {
        request(route, |_| "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa".to_owned())
    }

    #[test]
    fn a_policy_allows_exactly_what_the_role_may() {
        for &role in Role::ALL {
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

    /// AWS does not document a limit for the result of an authorizer. This is twice its limit for the
    /// resource policy of an API.
    const POLICY_BYTES: usize = 2 * 8192;

    #[test]
    fn a_policy_is_short_and_stays_short_with_150_routes() {
        for &role in Role::ALL {
            let policy = serde_json::to_string(&policy_for(role, &stage(), route::table()));
            let today = policy.unwrap().len();
            let projected = today * 150 / route::table().len();
            assert!(
                projected < POLICY_BYTES * 8 / 10,
                "{role}: {today} bytes, {projected} with 150 routes"
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
        let expected = ["GET", "HEAD"].map(|method| {
            let arn = |end: &str| format!("{stage}/{method}/things{end}");
            [arn(""), arn("/*")]
        });
        assert_eq!(allow.resource, expected.concat());
    }

    #[test]
    fn without_routes_nothing_is_allowed() {
        for &role in Role::ALL {
            assert!(policy_for(role, &stage(), &[]).statement.is_empty());
        }
    }

    #[test]
    fn an_id_that_reads_like_a_path_opens_nothing() {
        let clinician = policy_for(Role::Clinician, &stage(), route::table());
        let stage = stage().0;
        for request in [
            "GET/api/accounts/auth",
            "PUT/api/accounts/auth/",
            "DELETE/api/patients/auth",
            "GET/api/accounts/api/patients",
        ] {
            let arn = format!("{stage}/{request}");
            assert!(!allows(&clinician, &arn), "{request}");
        }
    }

    #[test]
    fn a_new_route_below_a_refused_one_is_allowed() {
        for new in [
            Route::delete("/api/patients/{id}/notes").requires(Permission::UpdatePatient),
            Route::delete("/api/patients/{id}/allergies/{allergy}")
                .requires(Permission::UpdatePatient),
            Route::put("/api/patients/{id}/notes").requires(Permission::ReadPatient),
        ] {
            let routes: Vec<Row> = route::table().iter().copied().chain([new.row()]).collect();
            for &role in Role::ALL {
                let policy = policy_for(role, &stage(), &routes);
                for row in routes.iter().filter(|row| may(role, row)) {
                    let request = request_to(row);
                    assert!(allows(&policy, &request), "{role} {request}");
                }
            }
        }
    }

    /// Words that are segments of routes.
    const WORDS: [&str; 4] = ["a", "b", "export", "parts"];

    /// The row to which the gateway routes a path: a named segment takes precedence over a
    /// parameter.
    fn routed<'a>(rows: &'a [Row], method: Method, path: &str) -> Option<&'a Row> {
        let rank = |route: &str| -> Option<Vec<bool>> {
            let route: Vec<_> = route.split('/').collect();
            let path: Vec<_> = path.split('/').collect();
            let mut pairs = route.iter().zip(&path);
            let fits = route.len() == path.len()
                && pairs.all(|(segment, value)| is_parameter(segment) || segment == value);
            fits.then(|| route.into_iter().map(is_parameter).collect())
        };
        let ranked = rows.iter().filter_map(|row| Some((rank(row.path)?, row)));
        let (best, _) = ranked
            .clone()
            .min_by(|(one, _), (other, _)| one.cmp(other))?;
        ranked
            .filter(|(rank, row)| *rank == best && row.method == method)
            .map(|(_, row)| row)
            .next()
    }

    /// Tables of routes that nobody would write.
    #[test]
    fn no_table_of_routes_leads_to_a_policy_that_denies_what_may_be_called() {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move |bound: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random >> 33).unwrap() % bound
        };
        let permissions = [Permission::ReadPatient, Permission::ManageAccounts];
        let (mut wrong, mut right) = (0, 0);
        for _ in 0..2_000 {
            let mut rows: Vec<Row> = Vec::new();
            for _ in 0..=next(8) {
                let mut path = String::new();
                for _ in 0..=next(4) {
                    path.push('/');
                    path.push_str(["{id}", WORDS[next(WORDS.len())]][next(2)]);
                }
                let path: &'static str = path.leak();
                let route = [Route::get(path), Route::put(path)][next(2)];
                let row = route.requires(permissions[next(2)]).row();
                let same = |other: &Row| other.path == path && other.method == row.method;
                if !rows.iter().any(same) {
                    rows.push(row);
                }
            }
            let policy = policy_for(Role::Clinician, &stage(), &rows);
            for row in &rows {
                let path = path_of(row, |_| "0199f7a2".to_owned());
                let Some(row) = routed(&rows, row.method, &path) else {
                    continue;
                };
                let arn = format!("{}/{}{path}", stage().0, row.method);
                match (may(Role::Clinician, row), allows(&policy, &arn)) {
                    (true, false) => panic!("{arn} is denied by {policy:?} of {rows:?}"),
                    (false, true) => wrong += 1,
                    _ => right += 1,
                }
            }
        }
        // What IAM's patterns cannot tell apart is left to the function.
        assert!(wrong * 20 < right, "{wrong} wrongly allowed, {right} right");
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
