//! How a route is declared.

use std::{fmt, marker::PhantomData};

use api::layers::{ByService, Once, Open, Permitted, Recorded, Repeatable, Unrecorded};
use audit_trail::{About, Action};
use identity::Permission;
use serde::{Deserialize, Serialize};

/// The method of a route. `GET` also serves `HEAD`.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or triggers an operation.
    Post,
    /// Replaces.
    Put,
    /// Changes a part.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// The name in HTTP.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A route without the types that describe its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Row {
    /// The method.
    pub method: Method,
    /// The path, with parameters in braces: `{id}` for a segment, `{file+}` for the whole rest.
    pub path: &'static str,
    /// The Lambda function that serves it: `create-patient`.
    pub function: &'static str,
    /// The permission that callers need; none if anybody may call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<Permission>,
    /// How a request is named in the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// How to tell from a request whose data it is about.
    #[serde(default, skip_serializing_if = "is_nobody")]
    pub about: About,
    /// Whether a request that is repeated with its key has one effect and one response.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
    /// Whether a service that the handler calls makes sure of that: a repetition waits for the first
    /// request there, and is never told that it is in progress.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_service: bool,
    /// Whether the route returns nothing that is not in the audit trail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recorded: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_nobody(about: &About) -> bool {
    *about == About::Nobody
}

/// A function type stores none of them, so it is `Send` and `Sync` whatever they are.
type Layers<Access, Record, Repetition> = fn() -> (Access, Record, Repetition);

/// A route and, in its type, the layers that it is behind: see [`api::layers`].
pub struct Route<Access, Record, Repetition> {
    pub(crate) row: Row,
    /// The schema in which responses are stored for repeated requests.
    pub(crate) schema: Option<&'static str>,
    layers: PhantomData<Layers<Access, Record, Repetition>>,
}

impl<A, R, I> Clone for Route<A, R, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, R, I> Copy for Route<A, R, I> {}

impl<A, R, I> fmt::Debug for Route<A, R, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row.fmt(f)
    }
}

/// By default, anybody may call a route, and it leaves no records.
impl Route<Open, Unrecorded, Repeatable> {
    /// Reads what is at this path.
    #[must_use]
    pub const fn get(path: &'static str) -> Self {
        Self::at(Method::Get, path)
    }

    /// Creates something at this path, or triggers an operation.
    #[must_use]
    pub const fn post(path: &'static str) -> Self {
        Self::at(Method::Post, path)
    }

    /// Replaces what is at this path.
    #[must_use]
    pub const fn put(path: &'static str) -> Self {
        Self::at(Method::Put, path)
    }

    /// Changes a part of what is at this path.
    #[must_use]
    pub const fn patch(path: &'static str) -> Self {
        Self::at(Method::Patch, path)
    }

    /// Removes what is at this path.
    #[must_use]
    pub const fn delete(path: &'static str) -> Self {
        Self::at(Method::Delete, path)
    }

    const fn at(method: Method, path: &'static str) -> Self {
        let row = Row {
            method,
            path,
            function: "",
            permission: None,
            action: None,
            about: About::Nobody,
            once: false,
            by_service: false,
            recorded: false,
        };
        Self::of(row, None)
    }
}

impl<A, R, I> Route<A, R, I> {
    const fn of(row: Row, schema: Option<&'static str>) -> Self {
        Self {
            row,
            schema,
            layers: PhantomData,
        }
    }

    /// The Lambda function that serves it. Its role and its binary have the same name.
    #[must_use]
    pub const fn function(mut self, name: &'static str) -> Self {
        self.row.function = name;
        self
    }

    /// How to tell from a request whose data it is about.
    #[must_use]
    pub const fn about(mut self, about: About) -> Self {
        self.row.about = about;
        self
    }

    /// The path as in the API document.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.row.path
    }

    /// The route as an entry of a table.
    #[must_use]
    pub const fn row(&self) -> Row {
        self.row
    }
}

impl<R, I> Route<Open, R, I> {
    /// Rejects callers without this permission: at the gateway, and once more in the function.
    #[must_use]
    pub const fn requires(mut self, permission: Permission) -> Route<Permitted, R, I> {
        self.row.permission = Some(permission);
        Route::of(self.row, self.schema)
    }
}

impl<A, I> Route<A, Unrecorded, I> {
    /// Returns nothing that is not in the audit trail, where it is recorded as this action.
    #[must_use]
    pub const fn records(mut self, action: Action) -> Route<A, Recorded, I> {
        self.row.action = Some(action);
        self.row.recorded = true;
        Route::of(self.row, self.schema)
    }

    /// Records what the gateway rejects as this action. The route's own responses are not recorded,
    /// because they reveal nothing about anybody.
    #[must_use]
    pub const fn refusals_are(mut self, action: Action) -> Self {
        self.row.action = Some(action);
        self
    }
}

impl<R> Route<Permitted, R, Repeatable> {
    /// A request that is repeated with its `Idempotency-Key` has one effect and one response, which
    /// is stored in this schema.
    #[must_use]
    pub const fn once_in(mut self, schema: &'static str) -> Route<Permitted, R, Once> {
        self.row.once = true;
        Route::of(self.row, Some(schema))
    }
}

impl Route<Permitted, Unrecorded, Repeatable> {
    /// A service that the handler calls carries the change out: it records it as this action, in its
    /// own transaction, and answers a request that is repeated with its `Idempotency-Key` as it did
    /// the first time.
    #[must_use]
    pub const fn carried_out_by_service(
        mut self,
        action: Action,
    ) -> Route<Permitted, ByService, ByService> {
        self.row.action = Some(action);
        self.row.recorded = true;
        self.row.once = true;
        self.row.by_service = true;
        Route::of(self.row, None)
    }
}
