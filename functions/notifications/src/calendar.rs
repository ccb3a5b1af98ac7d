//! What a patient's calendar is told about an appointment (RFC 5545, RFC 5546).
//!
//! Calendar programs agree on little more than one event in UTC: so there are no time zones, no
//! names in parameters, and always an end and an organizer. Nothing says what the appointment is
//! for.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The longest line, in octets, without its end (RFC 5545, section 3.1).
const MAX_LINE: usize = 75;

/// What is to be done with the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// It is added, or replaced.
    Request,
    /// It is removed.
    Cancel,
}

impl Method {
    /// The name, in the file and in the header of the message.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "REQUEST",
            Self::Cancel => "CANCEL",
        }
    }
}

/// An appointment as a calendar sees it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// What is to be done with it.
    pub method: Method,
    /// The appointment; the event keeps its id when it is moved.
    pub appointment: Uuid,
    /// How often it has been moved or cancelled.
    pub sequence: i32,
    /// When it starts.
    pub starts_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// What it is called: "Appointment".
    pub summary: &'a str,
    /// Where it takes place.
    pub location: &'a str,
    /// The address of the clinic.
    pub organizer: &'a str,
    /// The address of the patient.
    pub attendee: &'a str,
}

impl Event<'_> {
    /// The file, as of now.
    #[must_use]
    pub fn to_file(&self, now: DateTime<Utc>) -> String {
        let status = match self.method {
            Method::Request => "CONFIRMED",
            Method::Cancel => "CANCELLED",
        };
        let lines = [
            "BEGIN:VCALENDAR".to_owned(),
            "PRODID:-//Patient management//Appointments//EN".to_owned(),
            "VERSION:2.0".to_owned(),
            "CALSCALE:GREGORIAN".to_owned(),
            format!("METHOD:{}", self.method.name()),
            "BEGIN:VEVENT".to_owned(),
            format!("UID:{}", self.appointment),
            format!("SEQUENCE:{}", self.sequence),
            format!("DTSTAMP:{}", utc(now)),
            format!("DTSTART:{}", utc(self.starts_at)),
            format!("DTEND:{}", utc(self.ends_at)),
            format!("SUMMARY:{}", escaped(self.summary)),
            format!("LOCATION:{}", escaped(self.location)),
            format!("STATUS:{status}"),
            format!("ORGANIZER:mailto:{}", in_uri(self.organizer)),
            format!("ATTENDEE:mailto:{}", in_uri(self.attendee)),
            "END:VEVENT".to_owned(),
            "END:VCALENDAR".to_owned(),
        ];
        lines.iter().map(|line| folded(line)).collect()
    }
}

fn utc(instant: DateTime<Utc>) -> String {
    instant.format("%Y%m%dT%H%M%SZ").to_string()
}

/// A text as a value (RFC 5545, section 3.3.11), on one line.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in crate::message::one_line(text).chars() {
        if matches!(character, '\\' | ';' | ',') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// An address, which has no spaces.
fn in_uri(address: &str) -> String {
    let mut uri = String::with_capacity(address.len());
    for character in address.chars() {
        match character {
            // They mean something in the URI of an address (RFC 6068, section 2).
            '%' => uri.push_str("%25"),
            '?' => uri.push_str("%3F"),
            '#' => uri.push_str("%23"),
            '&' => uri.push_str("%26"),
            other if other.is_whitespace() || other.is_control() => {}
            other => uri.push(other),
        }
    }
    uri
}

/// The line with its end, over several lines if it is too long; never folded within a letter.
fn folded(line: &str) -> String {
    let mut folded = String::with_capacity(line.len() + 2);
    let mut octets = 0;
    for character in line.chars() {
        if octets + character.len_utf8() > MAX_LINE {
            folded.push_str("\r\n ");
            octets = 1;
        }
        folded.push(character);
        octets += character.len_utf8();
    }
    folded.push_str("\r\n");
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn event() -> Event<'static> {
        Event {
            method: Method::Request,
            appointment: Uuid::from_u128(7),
            sequence: 2,
            starts_at: at("2026-03-30T08:00:00Z"),
            ends_at: at("2026-03-30T08:30:00Z"),
            summary: "Appointment",
            location: "Main building, Klinik Süd; 2\\3\r\nX-BAD:1",
            organizer: "clinic@clinic.example",
            attendee: "zoe@clinic.example",
        }
    }

    #[test]
    fn a_calendar_is_told_when_and_where_and_nothing_else() {
        let file = event().to_file(at("2026-03-01T12:00:00Z"));
        let expected = "BEGIN:VCALENDAR\r\n\
            PRODID:-//Patient management//Appointments//EN\r\n\
            VERSION:2.0\r\n\
            CALSCALE:GREGORIAN\r\n\
            METHOD:REQUEST\r\n\
            BEGIN:VEVENT\r\n\
            UID:00000000-0000-0000-0000-000000000007\r\n\
            SEQUENCE:2\r\n\
            DTSTAMP:20260301T120000Z\r\n\
            DTSTART:20260330T080000Z\r\n\
            DTEND:20260330T083000Z\r\n\
            SUMMARY:Appointment\r\n\
            LOCATION:Main building\\, Klinik Süd\\; 2\\\\3 X-BAD:1\r\n\
            STATUS:CONFIRMED\r\n\
            ORGANIZER:mailto:clinic@clinic.example\r\n\
            ATTENDEE:mailto:zoe@clinic.example\r\n\
            END:VEVENT\r\n\
            END:VCALENDAR\r\n";
        assert_eq!(file, expected);
    }

    #[test]
    fn a_cancellation_is_the_same_event() {
        let cancelled = Event {
            method: Method::Cancel,
            sequence: 3,
            ..event()
        };
        let file = cancelled.to_file(at("2026-03-01T12:00:00Z"));
        for line in ["METHOD:CANCEL", "STATUS:CANCELLED", "SEQUENCE:3"] {
            assert!(file.contains(&format!("\r\n{line}\r\n")), "{file}");
        }
        assert!(file.contains("UID:00000000-0000-0000-0000-000000000007\r\n"));
    }

    #[test]
    fn a_long_line_is_folded_between_letters() {
        let location = "Süßes Gebäude ".repeat(20);
        let file = Event {
            location: &location,
            ..event()
        }
        .to_file(at("2026-03-01T12:00:00Z"));
        assert!(
            file.split("\r\n").all(|line| line.len() <= MAX_LINE),
            "{file}"
        );
        let unfolded = file.replace("\r\n ", "");
        assert!(unfolded.contains(&format!("LOCATION:{}\r\n", location.trim())));
        assert!(!file.replace("\r\n", "").contains(['\r', '\n']));
    }
}
