//! What a message says: a subject and a text with variables and conditions.
//!
//! A template may only contain variables, `{{ date }}`, and conditions on them, `{% if link %} …
//! {% else %} … {% endif %}`. There are no loops, filters and operators, so that what comes out is
//! not much longer than what went in.

use std::collections::BTreeMap;

use api::{InputErrors, Problem};
use chrono::{NaiveDate, NaiveDateTime};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

use crate::{
    built_in_templates::built_in, language::Language, local_time, message::one_line,
    notification::Channel, occasion::Occasion,
};

/// A variable, and what it means.
type Variable = (&'static str, &'static str);

/// The variables of messages about appointments.
const OF_APPOINTMENTS: &[Variable] = &[
    ("name", "the patient's name"),
    ("clinic", "the clinic's name"),
    ("location", "where the appointment takes place"),
    ("date", "its date"),
    ("time", "its time of day"),
    ("zone", "the time zone of both"),
    (
        "link",
        "where to confirm or cancel it; empty if there is nothing to do",
    ),
    (
        "unsubscribe",
        "where to say that one wants no more such messages; empty if one must be told",
    ),
    (
        "by_patient",
        "a condition: whether the patient has cancelled it, and not the clinic",
    ),
];

/// The variables of messages with an invoice. What it is for is in the file alone.
const OF_INVOICES: &[Variable] = &[
    ("name", "the patient's name"),
    ("clinic", "the clinic's name"),
    ("number", "the number of the invoice"),
];

/// The variables of messages with a statement. What happened is in the file alone.
const OF_STATEMENTS: &[Variable] = &[
    ("name", "the patient's name"),
    ("clinic", "the clinic's name"),
    ("from", "the first day of the period"),
    ("to", "the last day of the period"),
    (
        "one_day",
        "a condition: whether the first day of the period is also the last",
    ),
];

/// The variables of messages about this.
pub(crate) const fn variables(occasion: Occasion) -> &'static [Variable] {
    match occasion {
        Occasion::InvoiceSent => OF_INVOICES,
        Occasion::StatementSent => OF_STATEMENTS,
        Occasion::AppointmentBooked
        | Occasion::AppointmentMoved
        | Occasion::AppointmentCancelled
        | Occasion::AppointmentReminder => OF_APPOINTMENTS,
    }
}

/// The longest templates, in characters.
pub(crate) const MAX_SUBJECT: usize = 300;
pub(crate) const MAX_TEXT: usize = 5_000;

/// The longest messages, in characters. A text message of this length is sent in three parts.
const MAX_RENDERED_SUBJECT: usize = 200;
const MAX_RENDERED_TEXT: usize = 10_000;
const MAX_RENDERED_SMS: usize = 459;

/// A subject and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// 0 if it is built in, and one more with every change by the clinic.
    pub version: i64,
    /// One line; none for text messages.
    pub subject: Option<String>,
    /// The text.
    pub text: String,
}

/// A message as the patient reads it
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RenderedMessage)]
pub struct Rendered {
    /// One line; null for text messages.
    #[schema(required)]
    pub subject: Option<String>,
    /// Plain text.
    pub text: String,
}

/// Keeps the patient's name out of logs.
impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rendered").finish_non_exhaustive()
    }
}

/// Something is wrong with a template that passed its check.
#[derive(Debug, thiserror::Error)]
#[error("the template cannot be rendered: {0}")]
pub struct RenderError(String);

/// What the variables stand for. Those that a message does not have stay empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Values<'a> {
    /// The patient's name.
    pub name: &'a str,
    /// The clinic's name.
    pub clinic: &'a str,
    /// The location's name.
    pub location: &'a str,
    /// What the clocks show there at the start.
    pub local_start: NaiveDateTime,
    /// The name of the time zone.
    pub zone: &'a str,
    /// Where to confirm or cancel the appointment; empty if there is nothing to do.
    pub link: &'a str,
    /// Where to say that one wants no more such messages; empty if there is nowhere.
    pub unsubscribe: &'a str,
    /// Whether the patient has cancelled it.
    pub by_patient: bool,
    /// The number of the invoice.
    pub number: &'a str,
    /// The first and the last day of the statement.
    pub period: (NaiveDate, NaiveDate),
}

impl Values<'_> {
    fn for_language(&self, language: &Language) -> Value {
        let texts = [
            ("name", one_line(self.name)),
            ("clinic", one_line(self.clinic)),
            ("location", one_line(self.location)),
            ("date", local_time::date(self.local_start, language)),
            ("time", local_time::time(self.local_start)),
            ("zone", one_line(self.zone)),
            ("link", one_line(self.link)),
            ("unsubscribe", one_line(self.unsubscribe)),
            ("number", one_line(self.number)),
            ("from", local_time::day(self.period.0, language)),
            ("to", local_time::day(self.period.1, language)),
        ];
        let mut values: BTreeMap<&'static str, Value> = texts
            .into_iter()
            .map(|(name, text)| (name, Value::from(text)))
            .collect();
        let (from, to) = self.period;
        values.insert("by_patient", Value::from(self.by_patient));
        values.insert("one_day", Value::from(from == to));
        Value::from(values)
    }
}

impl Template {
    /// The current template in this language, if there is one.
    ///
    /// # Errors
    /// If the database does not respond.
    pub async fn current(
        occasion: Occasion,
        language: &Language,
        channel: Channel,
        database: impl PgExecutor<'_>,
    ) -> Result<Option<Self>, sqlx::Error> {
        let stored = sqlx::query_as!(
            Self,
            "SELECT version, subject, text FROM notifications.template
             WHERE kind = $1 AND language = $2 AND channel = $3
             ORDER BY version DESC LIMIT 1",
            occasion.name(),
            language.code(),
            channel.name(),
        )
        .fetch_optional(database)
        .await?;
        Ok(stored.or_else(|| Self::built_in(occasion, language, channel)))
    }

    /// The built-in template in this language, if there is one.
    #[must_use]
    pub fn built_in(occasion: Occasion, language: &Language, channel: Channel) -> Option<Self> {
        built_in(occasion, language, channel).map(|(subject, text)| Self {
            version: 0,
            subject: subject.map(ToOwned::to_owned),
            text: text.to_owned(),
        })
    }

    /// The message with sample values.
    ///
    /// # Errors
    /// If the template is not one that has passed [`check`].
    pub(crate) fn preview(&self, language: &Language) -> Result<Rendered, RenderError> {
        self.render(&sample(true, false, false), language)
    }

    /// The message with these values.
    ///
    /// # Errors
    /// If the template is not one that was checked when it was stored.
    pub fn render(
        &self,
        values: &Values<'_>,
        language: &Language,
    ) -> Result<Rendered, RenderError> {
        let values = values.for_language(language);
        let subject = self.subject.as_deref();
        let subject = subject
            .map(|subject| render(subject, &values))
            .transpose()?;
        Ok(Rendered {
            subject: subject.map(|subject| one_line(&subject)),
            text: render(&self.text, &values)?,
        })
    }
}

fn render(source: &str, values: &Value) -> Result<String, RenderError> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment
        .render_str(source, values.clone())
        .map_err(|error| RenderError(error.to_string()))
}

/// What is wrong with a template, for its author. Continues the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// An e-mail has no subject, or there is no text.
    #[error("is required")]
    Missing,
    /// Text messages have none.
    #[error("must be null: a text message has no subject")]
    NoSubject,
    /// It is longer than the longest template.
    #[error("cannot exceed {0} characters")]
    TooLong(usize),
    /// It contains control characters, or a subject has several lines.
    #[error("cannot contain control characters")]
    ControlCharacters,
    /// It uses a variable that does not exist.
    #[error("has no variable {0}; there are {1}")]
    UnknownVariable(String, String),
    /// It contains more than variables and conditions.
    #[error(
        "may only contain variables, {{{{ date }}}}, and conditions, {{% if link %}} … {{% endif %}}"
    )]
    NotATemplate,
    /// The engine does not understand it.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// What comes out is too long.
    #[error("makes a message of more than {0} characters")]
    RendersTooLong(usize),
    /// What comes out is empty.
    #[error("makes an empty message")]
    RendersEmpty,
}

fn names(occasion: Occasion) -> String {
    let names = variables(occasion).iter().map(|(name, _)| *name);
    names.collect::<Vec<_>>().join(", ")
}

/// Checks a new template by rendering it with sample values in all cases, and returns it with how
/// it looks.
///
/// # Errors
/// 400, with what is wrong with each field.
pub(crate) fn check(
    occasion: Occasion,
    subject: Option<&str>,
    text: &str,
    language: &Language,
    channel: Channel,
) -> Result<(Template, Rendered), Problem> {
    if !occasion.is_sent_by(channel) {
        let message = "Such messages are only sent by e-mail";
        return Err(Problem::invalid_field("channel", message));
    }
    let mut errors = InputErrors::default();
    let subject = errors.field(
        "subject",
        check_subject(occasion, subject, language, channel)
            .map_err(|invalid| format!("Subject {invalid}")),
    );
    let text = text.replace("\r\n", "\n");
    let checked = check_text(occasion, &text, language, channel);
    let text = errors.field("text", checked.map_err(|invalid| format!("Text {invalid}")));
    let (Some(subject), Some(text)) = (subject, text) else {
        return Err(errors.into_problem());
    };
    let template = Template {
        version: 0,
        subject,
        text,
    };
    let preview = template.preview(language).map_err(Problem::internal)?;
    Ok((template, preview))
}

fn check_subject(
    occasion: Occasion,
    subject: Option<&str>,
    language: &Language,
    channel: Channel,
) -> Result<Option<String>, InvalidTemplate> {
    let subject = subject.filter(|subject| !subject.trim().is_empty());
    match (channel, subject) {
        (Channel::Sms, None) => Ok(None),
        (Channel::Sms, Some(_)) => Err(InvalidTemplate::NoSubject),
        (Channel::Email, None) => Err(InvalidTemplate::Missing),
        (Channel::Email, Some(subject)) => {
            if subject.chars().any(char::is_control) {
                return Err(InvalidTemplate::ControlCharacters);
            }
            check_source(
                occasion,
                subject,
                (MAX_SUBJECT, MAX_RENDERED_SUBJECT),
                language,
            )?;
            Ok(Some(subject.to_owned()))
        }
    }
}

fn check_text(
    occasion: Occasion,
    text: &str,
    language: &Language,
    channel: Channel,
) -> Result<String, InvalidTemplate> {
    if text.trim().is_empty() {
        return Err(InvalidTemplate::Missing);
    }
    if text
        .chars()
        .any(|character| character.is_control() && character != '\n')
    {
        return Err(InvalidTemplate::ControlCharacters);
    }
    let most = match channel {
        Channel::Email => MAX_RENDERED_TEXT,
        Channel::Sms => MAX_RENDERED_SMS,
    };
    check_source(occasion, text, (MAX_TEXT, most), language)?;
    Ok(text.to_owned())
}

fn check_source(
    occasion: Occasion,
    source: &str,
    (longest, longest_rendered): (usize, usize),
    language: &Language,
) -> Result<(), InvalidTemplate> {
    if source.chars().count() > longest {
        return Err(InvalidTemplate::TooLong(longest));
    }
    if source.contains(char::REPLACEMENT_CHARACTER) {
        return Err(InvalidTemplate::ControlCharacters);
    }
    for tag in tags(source)? {
        check_tag(occasion, tag)?;
    }
    // Every condition both ways: an error may be in either branch.
    for case in 0..8 {
        let is = |condition: u8| case & condition != 0;
        let values = sample(is(1), is(2), is(4)).for_language(language);
        let rendered = render(source, &values)
            .map_err(|RenderError(error)| InvalidTemplate::Unreadable(error))?;
        if rendered.chars().count() > longest_rendered {
            return Err(InvalidTemplate::RendersTooLong(longest_rendered));
        }
        if rendered.trim().is_empty() {
            return Err(InvalidTemplate::RendersEmpty);
        }
    }
    Ok(())
}

/// A tag: a variable, or a part of a condition.
#[derive(Debug, Clone, Copy)]
enum Tag<'a> {
    Variable(&'a str),
    Statement(&'a str),
}

/// What is in the tags. Comments and everything else that the engine knows are rejected.
fn tags(source: &str) -> Result<Vec<Tag<'_>>, InvalidTemplate> {
    let mut tags = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find('{') {
        rest = &rest[start..];
        let (tag, end): (fn(_) -> _, _) = match rest.as_bytes().get(1) {
            Some(b'{') => (Tag::Variable, "}}"),
            Some(b'%') => (Tag::Statement, "%}"),
            Some(b'#') => return Err(InvalidTemplate::NotATemplate),
            _ => {
                rest = &rest[1..];
                continue;
            }
        };
        let (content, behind) = rest[2..]
            .split_once(end)
            .ok_or(InvalidTemplate::NotATemplate)?;
        tags.push(tag(content.trim_matches('-').trim()));
        rest = behind;
    }
    Ok(tags)
}

fn check_tag(occasion: Occasion, tag: Tag<'_>) -> Result<(), InvalidTemplate> {
    match tag {
        Tag::Variable(name) => known(occasion, name),
        Tag::Statement("else" | "endif") => Ok(()),
        Tag::Statement(statement) => {
            let mut words = statement.split_whitespace();
            let ("if" | "elif") = words.next().unwrap_or_default() else {
                return Err(InvalidTemplate::NotATemplate);
            };
            words
                .filter(|word| !matches!(*word, "not" | "and" | "or"))
                .try_for_each(|name| known(occasion, name))
        }
    }
}

fn known(occasion: Occasion, name: &str) -> Result<(), InvalidTemplate> {
    if variables(occasion).iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(InvalidTemplate::NotATemplate);
    }
    let beginning = name.chars().take(64).collect();
    Err(InvalidTemplate::UnknownVariable(beginning, names(occasion)))
}

/// An appointment, an invoice and a statement of nobody.
fn sample(with_link: bool, by_patient: bool, one_day: bool) -> Values<'static> {
    let first = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default();
    let last = NaiveDate::from_ymd_opt(2026, 12, 31).unwrap_or_default();
    Values {
        name: "Milo Feil",
        clinic: "Example Clinic",
        location: "Main building",
        local_start: NaiveDate::from_ymd_opt(2026, 3, 30)
            .and_then(|date| date.and_hms_opt(9, 0, 0))
            .unwrap_or_default(),
        zone: "Europe/London",
        link: if with_link {
            "https://clinic.example/appointment-links/019bc0fd-8a38-7c35-9b6c-0d2a54f3c1aa"
        } else {
            ""
        },
        unsubscribe: if with_link {
            "https://clinic.example/unsubscribe/ihAnJe5ukb8gfqdQKH1E2g"
        } else {
            ""
        },
        by_patient,
        number: "2026-000017",
        period: (first, if one_day { first } else { last }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKED: Occasion = Occasion::AppointmentBooked;

    fn errors(subject: Option<&str>, text: &str, channel: Channel) -> serde_json::Value {
        let problem = check(BOOKED, subject, text, &Language::english(), channel).unwrap_err();
        serde_json::to_value(problem.errors()).unwrap()
    }

    #[test]
    fn every_built_in_template_passes_the_check() {
        for code in ["en", "de"] {
            let language = code.parse().unwrap();
            for &occasion in Occasion::ALL {
                for &channel in Channel::ALL {
                    if !occasion.is_sent_by(channel) {
                        assert_eq!(Template::built_in(occasion, &language, channel), None);
                        continue;
                    }
                    let template = Template::built_in(occasion, &language, channel).unwrap();
                    let checked = check(
                        occasion,
                        template.subject.as_deref(),
                        &template.text,
                        &language,
                        channel,
                    );
                    let (_, rendered) = checked.unwrap();
                    assert_eq!(rendered.subject.is_some(), channel == Channel::Email);
                    for of_rendered in [rendered.subject.as_deref(), Some(&*rendered.text)] {
                        let text = of_rendered.unwrap_or_default();
                        assert!(!text.contains(['{', '}', '%']), "{text}");
                        assert!(!text.contains("\n\n\n"), "{text}");
                    }
                }
            }
        }
        assert!(
            Template::built_in(
                Occasion::AppointmentBooked,
                &"fr".parse().unwrap(),
                Channel::Email
            )
            .is_none()
        );
    }

    #[test]
    fn values_are_not_templates_and_stay_on_their_line() {
        let template = Template {
            version: 1,
            subject: Some("For {{ name }}".to_owned()),
            text: "{{ name }}\n<{{ location }}>".to_owned(),
        };
        let values = Values {
            name: "{{ clinic }}\r\nBcc: all@clinic.example",
            location: "A & B",
            ..sample(false, false, false)
        };
        let rendered = template.render(&values, &Language::english()).unwrap();
        assert_eq!(
            rendered.subject.as_deref(),
            Some("For {{ clinic }} Bcc: all@clinic.example")
        );
        assert_eq!(
            rendered.text,
            "{{ clinic }} Bcc: all@clinic.example\n<A & B>"
        );
    }

    #[test]
    fn what_is_wrong_is_said_for_each_field() {
        use serde_json::json;
        let both = errors(None, "{{ nam }}", Channel::Email);
        let list = "name, clinic, location, date, time, zone, link, unsubscribe, by_patient";
        assert_eq!(
            both,
            json!({
                "subject": "Subject is required",
                "text": format!("Text has no variable nam; there are {list}"),
            })
        );
        let subject = errors(Some("a"), "a", Channel::Sms);
        assert_eq!(
            subject,
            json!({ "subject": "Subject must be null: a text message has no subject" })
        );
        assert!(errors(Some("a\nb"), "a", Channel::Email)["subject"].is_string());
    }

    #[test]
    fn a_template_has_only_variables_and_conditions() {
        for text in [
            "",
            " \n",
            "a\u{7}",
            "a\tb",
            "a\u{fffd}",
            "{{ name",
            "{{ name | upper }}",
            "{{ 'a' * 100000 }}",
            "{{ name * 9 }}",
            "{{ name.first }}",
            "{{ name() }}",
            "{{ 7 }}",
            "{{ }}",
            "{# comment #}",
            "{% for c in name %}{{ c }}{% endfor %}",
            "{% set name = 'a' %}",
            "{% include 'other' %}",
            "{% raw %}{{ name }}{% endraw %}",
            "{% if link %}no end",
            "{% if unknown %}a{% endif %}",
            "{% if %}a{% endif %}",
            "{% endif %}",
            // Nothing, in one of the cases.
            "{% if link %}a{% endif %}",
            "{% if by_patient %}{{ nam }}{% endif %}a",
        ] {
            let invalid = check(BOOKED, None, text, &Language::english(), Channel::Sms);
            assert!(invalid.is_err(), "{text}");
        }
        for text in [
            "{{ name }}",
            "{{name}} {x} }} %} 100 %",
            "{%- if link and not by_patient -%} a {%- elif by_patient %} b {% else %} c {% endif %}",
        ] {
            let valid = check(BOOKED, None, text, &Language::english(), Channel::Sms);
            assert!(valid.is_ok(), "{text}: {valid:?}");
        }
    }

    #[test]
    fn a_message_has_the_variables_of_its_occasion() {
        let check = |occasion, text| {
            check(
                occasion,
                Some("a"),
                text,
                &Language::english(),
                Channel::Email,
            )
        };
        assert!(
            check(
                Occasion::InvoiceSent,
                "{{ name }} {{ number }} {{ clinic }}"
            )
            .is_ok()
        );
        assert!(check(BOOKED, "{{ date }}").is_ok());
        let foreign = check(Occasion::InvoiceSent, "{{ date }}").unwrap_err();
        assert_eq!(
            foreign.errors()["text"],
            "Text has no variable date; there are name, clinic, number"
        );
        assert!(check(BOOKED, "{{ number }}").is_err());
        let statement = "{{ name }} {{ clinic }} {{ from }} {{ to }}";
        assert!(check(Occasion::StatementSent, statement).is_ok());
        for foreign in ["{{ number }}", "{{ date }}", "{{ closing }}"] {
            let foreign = check(Occasion::StatementSent, foreign).unwrap_err();
            let said = &foreign.errors()["text"];
            assert!(
                said.ends_with("there are name, clinic, from, to, one_day"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_statement_of_one_day_names_it_once() {
        for (code, said) in [
            (
                "en",
                "A statement of your account on 1 January 2026 is attached as a PDF file.",
            ),
            (
                "de",
                "Ihren Kontoauszug vom 1. Januar 2026 finden Sie als PDF-Datei im Anhang.",
            ),
        ] {
            let language = code.parse::<Language>().unwrap();
            let (statement, by_mail) = (Occasion::StatementSent, Channel::Email);
            let template = Template::built_in(statement, &language, by_mail).unwrap();
            let message = template.render(&sample(false, false, true), &language);
            let text = message.unwrap().text;
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn a_document_is_no_text_message() {
        let english = Language::english();
        for occasion in [Occasion::InvoiceSent, Occasion::StatementSent] {
            let refused = check(occasion, None, "a", &english, Channel::Sms).unwrap_err();
            assert!(refused.errors().contains_key("channel"));
        }
    }

    #[test]
    fn what_comes_out_is_bounded() {
        assert!(errors(None, &"a".repeat(460), Channel::Sms)["text"].is_string());
        assert!(errors(None, &"{{ link }} ".repeat(10), Channel::Sms)["text"].is_string());
        let long = "ä".repeat(MAX_TEXT);
        assert!(
            check(
                BOOKED,
                Some("a"),
                &long,
                &Language::english(),
                Channel::Email
            )
            .is_ok()
        );
        let longer = format!("{long}a");
        assert!(errors(Some("a"), &longer, Channel::Email)["text"].is_string());
    }
}
