//! Which problem a client can get on which route, each with its own example: what handlers answer.
//! What the layers around every handler answer is in `problems`.

mod billing;

use api::{Conflict, ConflictReason, Problem, ProblemType};
use chrono::{DateTime, TimeDelta};
use uuid::Uuid;

/// A problem as some routes answer with it.
#[derive(Debug)]
pub(super) struct Case {
    /// What its example is called in the document.
    pub(super) name: String,
    /// What has happened, in one sentence without a full stop.
    pub(super) summary: String,
    /// The example.
    pub(super) problem: Problem,
    /// The functions that answer with it.
    pub(super) functions: Vec<&'static str>,
}

impl Case {
    pub(super) fn new(name: &str, summary: &str, problem: Problem) -> Self {
        Self {
            name: name.to_owned(),
            summary: summary.to_owned(),
            problem,
            functions: Vec::new(),
        }
    }

    fn on(mut self, functions: &[&[&'static str]]) -> Self {
        self.functions = functions.concat();
        self
    }
}

/// The patient is in the path, and is locked or read as a whole.
const OF_A_PATIENT: &[&str] = &[
    "get-patient",
    "update-patient",
    "delete-patient",
    "restrict-patient",
    "open-in-emergency",
    "list-patient-history",
    "get-patient-version",
    "get-family",
];

/// One or two patients are held while something is recorded that is not a part of them.
const OF_HELD_PATIENTS: &[&str] = &[
    "replace-family",
    "record-relationship",
    "add-group-member",
    "decide-duplicate",
    "merge-patients",
];

const BOOKINGS: &[&str] = &["book-appointment", "book-series", "reschedule-appointment"];

/// What is known of one appointment.
const OF_AN_APPOINTMENT: &[&str] = &[
    "get-appointment",
    "get-appointment-history",
    "cancel-appointment",
    "confirm-appointment",
    "fulfil-appointment",
    "record-arrival",
    "record-no-show",
    "reschedule-appointment",
];

/// What handlers answer. A route that documents a status has a case here, and a case here is
/// documented by its routes: generating the document fails otherwise.
#[must_use]
pub(super) fn of_handlers() -> Vec<Case> {
    let invalid_or_missing = invalid().chain(missing());
    let callers = unauthorized().into_iter().chain(forbidden());
    let conflicts = conflicts_of_patients().into_iter().chain(other_conflicts());
    let cases = invalid_or_missing.chain(callers);
    let cases = cases.chain(conflicts).chain(times());
    cases.chain(billing::cases()).collect()
}

/// Input that a handler refuses: the name of the case, what is wrong, the field, what is said of it, and
/// the functions.
type Invalid = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const INVALID: &[Invalid] = &[
    (
        "date-of-birth-in-the-future",
        "The patient would not be born yet",
        "dateOfBirth",
        "Date of birth cannot be in the future",
        &["create-patient", "update-patient", "check-duplicates"],
    ),
    (
        "one-list-at-a-time",
        "Two parameters do not go together",
        "sort",
        "Only one of q, sort, changedSince and deleted may be given",
        &["list-patients"],
    ),
    (
        "nothing-to-look-for",
        "The search says nothing about anybody",
        "q",
        "Say what to look for",
        &["search-patients"],
    ),
    (
        "invalid-version",
        "The version is not a number",
        "version",
        "Must be a number from 1",
        &["get-patient-version"],
    ),
    (
        "reason-too-short",
        "The reason is not a sentence",
        "reason",
        "The reason must have at least 10 characters",
        &["open-in-emergency", "erase-patient"],
    ),
    (
        "related-to-themselves",
        "The two patients are one",
        "patientId",
        "Nobody is related to themselves",
        &["record-relationship"],
    ),
    (
        "head-is-no-member",
        "The head does not live there",
        "headId",
        "Must be the patient or a member",
        &["replace-family"],
    ),
    (
        "group-without-a-name",
        "The group has no name",
        "name",
        "Name is required",
        &["create-group", "update-group"],
    ),
    (
        "ends-before-it-begins",
        "The last day is before the first",
        "to",
        "The last day must not be before the first",
        &["add-group-member", "record-relationship"],
    ),
    (
        "not-two-patients",
        "It is not about two patients",
        "patientIds",
        "`patientIds` must be the ids of two different patients",
        &["decide-duplicate"],
    ),
    (
        "merged-into-itself",
        "The two records are one",
        "duplicateId",
        "The duplicate must be a different record from the survivor",
        &["merge-patients"],
    ),
    (
        "file-too-large",
        "The file is empty, or larger than 100 MiB",
        "contentLength",
        "Must be between 1 and 104857600 bytes",
        &["start-import"],
    ),
    (
        "unknown-column",
        "A column is for a field that patients do not have",
        "columns",
        "The columns must be fields of a patient, such as dateOfBirth",
        &["start-import"],
    ),
    (
        "unknown-action",
        "The form says nothing that one can do",
        "action",
        "Must be confirm or cancel",
        &["use-appointment-link"],
    ),
];

fn invalid() -> impl Iterator<Item = Case> {
    let cases = INVALID.iter();
    let cases = cases.map(|(name, summary, field, message, functions)| {
        Case::new(name, summary, Problem::invalid_field(field, *message)).on(&[functions])
    });
    // It is refused before the handler sees it.
    let channel = Case::new(
        "invalid-channel",
        "There is no such channel",
        Problem::invalid_field("channel", "Must be one of EMAIL, SMS")
            .with_detail("The parameter channel has an invalid value"),
    )
    .on(&[&[
        "get-notification-template",
        "change-notification-template",
        "preview-notification-template",
    ]]);
    cases.chain([channel])
}

fn unauthorized() -> Vec<Case> {
    let case = |name, summary, detail: &str, function| {
        let problem = Problem::new(ProblemType::Unauthorized, detail);
        Case::new(name, summary, problem).on(&[&[function]])
    };
    vec![
        case(
            "wrong-password",
            "Nobody has this e-mail address and password",
            "The e-mail address or the password is wrong",
            "login",
        ),
        case(
            "session-over",
            "The session has ended",
            "The session is over, please log in again",
            "refresh",
        ),
        Case::new(
            "invalid-token",
            "The token is invalid or missing",
            Problem::unauthorized(),
        )
        .on(&[&["validate-token"]]),
    ]
}

fn forbidden() -> Vec<Case> {
    let restricted = Problem::forbidden().with_detail(
        "This patient's record is restricted; in an emergency a clinician may open it with \
         emergency-access, stating the reason",
    );
    // Not on routes whose callers all may see restricted records.
    let of_patients: &[&[&str]] = &[
        &[
            "create-patient",
            "get-patient",
            "update-patient",
            "list-patient-history",
            "get-patient-version",
            "get-family",
            "replace-family",
            "record-relationship",
            "end-relationship",
            "list-groups",
            "add-group-member",
            "remove-group-member",
            "decide-duplicate",
            "get-billing-account",
            "get-notification-preferences",
            "change-notification-preferences",
            "list-notifications",
        ],
        &[
            "book-appointment",
            "book-series",
            "reschedule-appointment",
            "get-appointment",
            "get-appointment-history",
            "list-appointments",
            "cancel-appointment",
            "confirm-appointment",
            "fulfil-appointment",
            "record-arrival",
            "record-no-show",
            "join-waitlist",
            "leave-waitlist",
            "list-waitlist",
        ],
        billing::OF_PATIENTS,
    ];
    vec![Case::new("record-restricted", "The record is restricted", restricted).on(of_patients)]
}

/// Routes that know a patient in another way.
const OF_OTHER_PATIENTS: &[&str] = &[
    "restore-patient",
    "erase-patient",
    "book-appointment",
    "book-series",
    "join-waitlist",
    "get-notification-preferences",
    "change-notification-preferences",
];

const OF_A_SERVICE: &[&str] = &[
    "book-appointment",
    "book-series",
    "find-availability",
    "third-next-available",
];

const OF_A_RESOURCE: &[&str] = &[
    "list-absences",
    "record-absence",
    "replace-hours",
    "replace-exception",
];

/// What is not there: the name of the case, what is said, and the functions.
type Missing = (
    &'static str,
    &'static str,
    &'static [&'static [&'static str]],
);

const MISSING: &[Missing] = &[
    (
        "patient-not-found",
        "Patient not found",
        &[OF_A_PATIENT, OF_HELD_PATIENTS, OF_OTHER_PATIENTS],
    ),
    (
        "version-not-found",
        "Version not found",
        &[&["get-patient-version"]],
    ),
    (
        "relationship-not-found",
        "Relationship not found",
        &[&["end-relationship"]],
    ),
    (
        "group-not-found",
        "Group not found",
        &[&["get-group", "update-group", "add-group-member"]],
    ),
    (
        "not-in-the-group",
        "The patient is not in the group",
        &[&["remove-group-member"]],
    ),
    ("merge-not-found", "Merge not found", &[&["undo-merge"]]),
    ("import-not-found", "Import not found", &[&["get-import"]]),
    ("export-not-found", "Export not found", &[&["get-export"]]),
    (
        "billing-account-not-found",
        "Billing account not found",
        &[&["get-billing-account"]],
    ),
    (
        "appointment-not-found",
        "Appointment not found",
        &[OF_AN_APPOINTMENT],
    ),
    ("service-not-found", "Service not found", &[OF_A_SERVICE]),
    (
        "resource-not-needed",
        "The service needs no such resource",
        &[&["find-availability", "third-next-available"]],
    ),
    ("resource-not-found", "Resource not found", &[OF_A_RESOURCE]),
    (
        "location-not-found",
        "Location not found",
        &[&["close-location"]],
    ),
    (
        "closure-not-found",
        "There is no such closure",
        &[&["open-location"]],
    ),
    (
        "exception-not-found",
        "There is no such exception",
        &[&["remove-exception"]],
    ),
    (
        "absence-not-found",
        "Absence not found",
        &[&["remove-absence"]],
    ),
    (
        "nothing-to-wait-for",
        "Service or resource not found",
        &[&["join-waitlist"]],
    ),
    (
        "waitlist-entry-not-found",
        "Waitlist entry not found",
        &[&["leave-waitlist"]],
    ),
    (
        "account-not-found",
        "Account not found",
        &[&["get-account", "update-account", "get-own-account"]],
    ),
    (
        "template-not-found",
        "There is no template in this language: messages are in English",
        &[&["get-notification-template"]],
    ),
    (
        "link-not-valid",
        "This link is not valid any more",
        &[&["unsubscribe"]],
    ),
    (
        "file-not-found",
        "The documentation has no such file",
        &[&["docs"]],
    ),
];

fn missing() -> impl Iterator<Item = Case> {
    let deleted = Problem::new(ProblemType::Deleted, "Patient not found");
    let of_deleted = [
        Case::new(
            "patient-deleted",
            "The patient was deleted, and can be restored",
            deleted.clone(),
        )
        .on(&[OF_A_PATIENT, OF_HELD_PATIENTS, &["end-relationship"]]),
        Case::new(
            "patient-erased",
            "The request is a repetition, and its patient was erased since",
            deleted,
        )
        .on(&[&["create-patient", "restore-patient", "erase-patient"]]),
    ];
    let cases = MISSING.iter();
    let cases = cases.map(|(name, detail, functions)| {
        Case::new(name, detail, Problem::not_found(*detail)).on(functions)
    });
    cases.chain(of_deleted)
}

fn conflicts_of_patients() -> Vec<Case> {
    let plain = |name, summary, detail: &str, functions: &[&[&'static str]]| {
        Case::new(name, summary, Problem::new(ProblemType::Conflict, detail)).on(functions)
    };
    let field = |name, summary, field: &str, message: &str, functions: &[&'static str]| {
        Case::new(name, summary, Problem::conflict(field, message)).on(&[functions])
    };
    let somebody = example_id(0xab);
    let changes: &[&str] = &["create-patient", "update-patient"];
    let merged: &[&str] = &[
        "update-patient",
        "delete-patient",
        "restrict-patient",
        "end-relationship",
    ];
    vec![
        Case::new(
            "email-taken",
            "Another patient has the e-mail address",
            Problem::conflict("email", "Email address already exists")
                .with_existing_patient(somebody),
        )
        .on(&[changes, &["restore-patient", "undo-merge"]]),
        Case::new(
            "identifier-taken",
            "Another patient has the identifier",
            Problem::conflict("identifiers", "Another patient has this identifier")
                .with_existing_patient(somebody),
        )
        .on(&[changes]),
        plain(
            "record-merged",
            "The record was merged into another one",
            "This record was merged into another one: change that one",
            &[merged, OF_HELD_PATIENTS],
        ),
        // The versions are in the body.
        Case::new(
            ProblemType::PreconditionFailed.name(),
            "Somebody changed it meanwhile",
            Problem::precondition_failed(),
        )
        .on(&[&["merge-patients"]]),
        plain(
            "not-deleted",
            "There is nothing to restore",
            "The patient is not deleted",
            &[&["restore-patient"]],
        ),
        plain(
            "delete-first",
            "The patient is not deleted",
            "Delete the patient first",
            &[&["erase-patient"]],
        ),
        field(
            "related-already",
            "They are related in this way",
            "role",
            "They are related in this way already",
            &["record-relationship"],
        ),
        field(
            "related-the-other-way-round",
            "They are related the other way round",
            "role",
            "They are related the other way round",
            &["record-relationship"],
        ),
        field(
            "too-many-relationships",
            "One of them has too many relationships",
            "patientId",
            "A patient has at most 50 relationships",
            &["record-relationship"],
        ),
        field(
            "group-not-in-use",
            "The group takes no new members",
            "id",
            "The group is not in use any more",
            &["add-group-member"],
        ),
        field(
            "merge-undone",
            "The merge is undone",
            "id",
            "The merge is undone already",
            &["undo-merge"],
        ),
        field(
            "changed-since-the-merge",
            "One of the records has changed since",
            "id",
            "One of the records has changed since the merge",
            &["undo-merge"],
        ),
    ]
}

fn other_conflicts() -> Vec<Case> {
    let conflict = |name: &str, summary: &str, problem, functions: &[&[&'static str]]| {
        Case::new(name, summary, problem).on(functions)
    };
    let plain = |detail: &str| Problem::new(ProblemType::Conflict, detail);
    let mut cases = vec![
        conflict(
            "slot-taken",
            "The slot is not free",
            Problem::slot_taken(vec![taken()]),
            &[BOOKINGS, &["record-arrival"]],
        ),
        conflict(
            "hold-expired",
            "The hold has expired",
            Problem::new(
                ProblemType::HoldExpired,
                "The hold has expired: the slot may be somebody else's",
            ),
            &[&["confirm-appointment"]],
        ),
        conflict(
            "nobody-there",
            "The schedule has changed meanwhile",
            plain("Nobody is there at this time any more: choose another slot"),
            &[&["confirm-appointment"]],
        ),
        conflict(
            "code-taken",
            "Another service has the code",
            Problem::conflict("code", "Another service has this code"),
            &[&["create-service"]],
        ),
        conflict(
            "account-exists",
            "Another account has the e-mail address",
            Problem::conflict("email", "Email address already exists"),
            &[&["create-account"]],
        ),
        conflict(
            "last-administrator",
            "Nobody would be left to administer the system",
            plain("The last administrator must remain an administrator"),
            &[&["update-account"]],
        ),
        conflict(
            "account-changed",
            "The account was changed at the same time",
            plain("The account was changed at the same time"),
            &[&["change-password"]],
        ),
    ];
    for (function, verb, state) in [
        ("cancel-appointment", "cancel", "FULFILLED"),
        ("confirm-appointment", "confirm", "BOOKED"),
        ("fulfil-appointment", "fulfil", "BOOKED"),
        ("record-arrival", "record an arrival for", "CANCELLED"),
        ("record-no-show", "record a no-show for", "FULFILLED"),
        ("reschedule-appointment", "move", "CANCELLED"),
    ] {
        let name = format!("cannot-{function}");
        let detail = format!("It is not possible to {verb} an appointment that is {state}");
        let summary = "The appointment is in another state";
        cases.push(conflict(&name, summary, plain(&detail), &[&[function]]));
    }
    cases
}

fn times() -> Vec<Case> {
    let case = |summary, kind: ProblemType, detail: &str, functions: &[&'static str]| {
        Case::new(kind.name(), summary, Problem::new(kind, detail)).on(&[functions])
    };
    vec![
        case(
            "The clocks skip this time",
            ProblemType::NonexistentLocalTime,
            "There is no 2027-03-14T02:30 in America/New_York: the clocks are put forward past it",
            BOOKINGS,
        ),
        case(
            "The clocks show this time twice",
            ProblemType::AmbiguousLocalTime,
            "The clocks show 2026-11-01 01:30:00 twice in America/New_York: at 2026-11-01T01:30:00-04:00 and at 2026-11-01T01:30:00-05:00",
            &["book-appointment", "reschedule-appointment"],
        ),
        case(
            "The service is not offered at such a time",
            ProblemType::NotBookable,
            "It has to be booked 120 minutes ahead",
            BOOKINGS,
        ),
    ]
}

/// An id like those of the other examples.
fn example_id(last: u128) -> Uuid {
    Uuid::from_u128(0x0199_f7a2_6c1e_7c35_9b6c_0d2a_54f3_c100 + last)
}

/// An appointment in the way of another.
fn taken() -> Conflict {
    let at = |minutes: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(30_102_480 + minutes);
    Conflict {
        reason: ConflictReason::Taken,
        resource_id: Some(example_id(0xae)),
        appointment_id: Some(example_id(0xac)),
        start: at(0),
        end: at(30),
    }
}
