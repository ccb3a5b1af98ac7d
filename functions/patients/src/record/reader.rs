//! Reads the members of one part of an input, and notes what is wrong with which.

use std::fmt::Display;

use api::InputErrors;
use chrono::NaiveDate;
use fields::{InvalidText, Line, Lines};

/// Reads the members of one object: its errors are named after its path, such as
/// `addresses[1].city`.
pub struct Reader<'a> {
    errors: &'a mut InputErrors,
    path: String,
    sound: bool,
}

impl<'a> Reader<'a> {
    /// Of the object at this path; the empty path is the body itself.
    pub fn new(errors: &'a mut InputErrors, path: impl Into<String>) -> Self {
        Self {
            errors,
            path: path.into(),
            sound: true,
        }
    }

    /// What was read, unless something was wrong with a member.
    pub fn all<T>(self, read: T) -> Option<T> {
        self.sound.then_some(read)
    }

    /// Notes what is wrong with a member.
    pub fn refuse(&mut self, member: &str, reason: impl Display) {
        self.member::<(), _>(member, Err(reason));
    }

    /// The member, or `None` after noting what is wrong with it.
    pub fn member<T, E: Display>(&mut self, member: &str, parsed: Result<T, E>) -> Option<T> {
        let path = match (&*self.path, member) {
            ("", member) => member.to_owned(),
            (path, "") => path.to_owned(),
            (path, member) => format!("{path}.{member}"),
        };
        let parsed = self.errors.field(&path, parsed);
        self.sound &= parsed.is_some();
        parsed
    }

    /// A line of text that may be missing or blank.
    pub fn line(
        &mut self,
        member: &str,
        label: &str,
        text: Option<&str>,
        most: usize,
    ) -> Option<String> {
        match Line::parse(text?, &(1..=most)) {
            Ok(line) => Some(line.as_str().to_owned()),
            Err(InvalidText::Missing) => None,
            Err(invalid) => {
                self.refuse(member, format_args!("{label} {invalid}"));
                None
            }
        }
    }

    /// A line of text that has to be there.
    pub fn required_line(
        &mut self,
        member: &str,
        label: &str,
        text: Option<&str>,
        most: usize,
    ) -> Option<String> {
        let line = Line::parse(text.unwrap_or_default(), &(1..=most));
        let line = line.map_err(|invalid| format!("{label} {invalid}"));
        Some(self.member(member, line)?.as_str().to_owned())
    }

    /// Text of several lines that may be missing or blank.
    pub fn lines(
        &mut self,
        member: &str,
        label: &str,
        text: Option<&str>,
        most: usize,
    ) -> Option<String> {
        match Lines::parse(text?, &(1..=most)) {
            Ok(lines) => Some(lines.as_str().to_owned()),
            Err(InvalidText::Missing) => None,
            Err(invalid) => {
                self.refuse(member, format_args!("{label} {invalid}"));
                None
            }
        }
    }

    /// A day that may be missing.
    pub fn day(&mut self, member: &str, label: &str, text: Option<&str>) -> Option<NaiveDate> {
        let text = text.filter(|text| !text.trim().is_empty())?;
        let day = api::day(text);
        let day = day.map_err(|_| format!("{label} should be a date in the form YYYY-MM-DD"));
        self.member(member, day)
    }

    /// The first and last day of a period, both of which may be missing.
    pub fn period(
        &mut self,
        from: Option<&str>,
        to: Option<&str>,
    ) -> (Option<NaiveDate>, Option<NaiveDate>) {
        let from = self.day("from", "From", from);
        let to = self.day("to", "To", to);
        if let (Some(first), Some(last)) = (from, to)
            && last < first
        {
            self.refuse("to", "To cannot be before from");
        }
        (from, to)
    }

    /// Every entry of a list of at most this many.
    pub fn list<I, T>(
        &mut self,
        member: &str,
        label: &str,
        inputs: Vec<I>,
        most: usize,
        parse: impl Fn(I, Reader<'_>) -> Option<T>,
    ) -> Vec<T> {
        if inputs.len() > most {
            self.refuse(member, format_args!("{label} cannot be more than {most}"));
            return Vec::new();
        }
        let mut entries = Vec::with_capacity(inputs.len());
        for (place, input) in inputs.into_iter().enumerate() {
            let path = match &*self.path {
                "" => format!("{member}[{place}]"),
                path => format!("{path}.{member}[{place}]"),
            };
            match parse(input, Reader::new(self.errors, path)) {
                Some(entry) => entries.push(entry),
                None => self.sound = false,
            }
        }
        entries
    }
}
