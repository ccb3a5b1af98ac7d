//! How a file is laid out: found by looking at it, before any line is taken.

use std::collections::BTreeMap;

use csv::ByteRecord;
use serde::{Deserialize, Serialize};

use super::{
    FileFormat, MOST_LINES,
    records::{LONGEST, Separation, cut},
};

/// What programs write at the beginning of UTF-8, and of UTF-16.
const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// What separates the fields of a table.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// The most columns of a table, and the most characters of a title that is repeated to the client.
const MOST_COLUMNS: usize = 200;
const MOST_REPEATED: usize = 60;

/// What a column holds.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub(crate) enum Field {
    Name,
    Prefix,
    Given,
    Family,
    Suffix,
    FormerName,
    DateOfBirth,
    Sex,
    Email,
    Phone,
    Mobile,
    Address,
    Street,
    City,
    State,
    PostalCode,
    Country,
    Language,
    RegisteredDate,
    DeceasedDate,
    IdentifierSystem,
    Identifier,
    /// Whether the record is restricted: then it is refused.
    Restricted,
}

impl Field {
    /// Every field.
    pub(crate) const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in the API, and the title of its column if the client does not say another.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// Whether what is in it may go on over several lines.
    pub(crate) const fn may_have_lines(self) -> bool {
        matches!(self, Self::Address | Self::Street)
    }

    /// What the column is called by many, beside its name.
    const fn also(self) -> &'static [&'static str] {
        match self {
            Self::Name => &["fullname", "patient", "patientname"],
            Self::Given => &["givenname", "givennames", "firstname", "forename", "first"],
            Self::Family => &["familyname", "lastname", "surname", "last"],
            Self::DateOfBirth => &["birthdate", "dob", "born"],
            Self::Sex => &["gender"],
            Self::Email => &["emailaddress", "mail"],
            Self::Phone => &["phonenumber", "telephone", "tel"],
            Self::Mobile => &["mobilephone", "cell", "cellphone"],
            Self::Street => &["addressline", "addressline1", "streetaddress"],
            Self::PostalCode => &["postcode", "zip", "zipcode"],
            Self::RegisteredDate => &["registered"],
            Self::DeceasedDate => &["deathdate", "died", "dateofdeath"],
            _ => &[],
        }
    }
}

/// How characters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Encoding {
    Utf8,
    Windows1252,
}

impl Encoding {
    /// The text of a field.
    pub(crate) fn text(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Windows1252 => {
                let (text, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes);
                text.into_owned()
            }
        }
    }
}

/// How a file is laid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    pub(crate) encoding: Encoding,
    /// What separates the fields; `None` for a file without a table.
    pub(crate) delimiter: Option<u8>,
    /// What each column holds; `None` for one that is not taken.
    pub(crate) columns: Vec<Option<Field>>,
    /// The titles of the columns that are not taken.
    pub(crate) ignored: Vec<String>,
    /// Where the first record begins.
    pub(crate) first_byte: u64,
    pub(crate) first_line: u64,
}

impl Layout {
    pub(crate) fn separation(&self) -> Separation {
        match self.delimiter {
            Some(delimiter) => Separation::Table { delimiter },
            None => Separation::Lines,
        }
    }
}

/// Why a file is refused as a whole, in words for whoever has sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("The file is empty")]
    Empty,
    #[error("The file is in UTF-16: save it as UTF-8")]
    Utf16,
    #[error("The file is not UTF-8, as its format or its first bytes say")]
    NotUtf8,
    #[error("The file is no text: byte {0} is zero")]
    NotText(u64),
    #[error("There is no column {0}")]
    Missing(String),
    #[error("Two columns hold {0}")]
    Twice(&'static str),
    #[error("There are more than {MOST_COLUMNS} columns")]
    TooManyColumns,
    #[error("The record on line {0} is longer than 64 KiB: is a quotation mark not closed?")]
    TooLong(u64),
    #[error("A quotation mark on line {0} is never closed")]
    Unclosed(u64),
    #[error("There are more than {MOST_LINES} lines")]
    TooManyLines,
    #[error("There is no line below the header")]
    NoLines,
}

/// Looks at a file from its beginning to its end, part by part.
#[derive(Debug)]
pub(crate) struct Look {
    format: FileFormat,
    titles: BTreeMap<Field, String>,
    layout: Option<Layout>,
    /// What of the part before was no whole record.
    rest: Vec<u8>,
    seen: u64,
    line: u64,
    lines: u64,
    /// The end of the part before, if it broke off within a character.
    broken: Vec<u8>,
    is_utf8: bool,
    /// Whether it says that it is.
    is_marked: bool,
}

impl Look {
    /// At a file of this format, whose columns have these titles instead of the usual ones.
    pub(crate) const fn new(format: FileFormat, titles: BTreeMap<Field, String>) -> Self {
        Self {
            format,
            titles,
            layout: None,
            rest: Vec::new(),
            seen: 0,
            line: 1,
            lines: 0,
            broken: Vec::new(),
            is_utf8: true,
            is_marked: false,
        }
    }

    /// Looks at the next part.
    pub(crate) fn at(&mut self, part: &[u8], is_last: bool) -> Result<(), Unreadable> {
        self.check_characters(part, is_last)?;
        self.seen += part.len() as u64;
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(part);
        let layout = match self.layout.take() {
            Some(layout) => layout,
            None if rest.len() <= LONGEST && !is_last => {
                self.rest = rest;
                return Ok(());
            }
            None => {
                let (layout, header) = self.begin(&rest)?;
                rest.drain(..header);
                layout
            }
        };
        let mut at = 0;
        loop {
            let found = cut(&rest[at..], is_last, self.line, layout.separation(), 1_000);
            if let Some(line) = found.unclosed {
                return Err(Unreadable::Unclosed(line));
            }
            self.lines += found.records.len() as u64;
            if self.lines > MOST_LINES {
                return Err(Unreadable::TooManyLines);
            }
            let too_long = found
                .records
                .iter()
                .find(|record| record.fields.as_slice().len() > LONGEST);
            if let Some(record) = too_long {
                return Err(Unreadable::TooLong(record.line));
            }
            at += found.bytes;
            self.line = found.next_line;
            if found.bytes == 0 {
                break;
            }
        }
        rest.drain(..at);
        if rest.len() > LONGEST {
            return Err(Unreadable::TooLong(self.line));
        }
        self.rest = rest;
        self.layout = Some(layout);
        Ok(())
    }

    /// How the file is laid out, and how many records it has.
    pub(crate) fn end(self) -> Result<(Layout, u64), Unreadable> {
        let mut layout = self.layout.ok_or(Unreadable::Empty)?;
        if self.lines == 0 {
            return Err(match self.format {
                FileFormat::Csv => Unreadable::NoLines,
                FileFormat::Ndjson => Unreadable::Empty,
            });
        }
        if !self.is_utf8 {
            // JSON is UTF-8. A table that is not comes from a program that writes Windows-1252.
            if self.format == FileFormat::Ndjson || self.is_marked {
                return Err(Unreadable::NotUtf8);
            }
            layout.encoding = Encoding::Windows1252;
            let again =
                |title: &mut String| *title = title.replace(char::REPLACEMENT_CHARACTER, "?");
            layout.ignored.iter_mut().for_each(again);
        }
        Ok((layout, self.lines))
    }

    fn check_characters(&mut self, part: &[u8], is_last: bool) -> Result<(), Unreadable> {
        if self.seen == 0 && UTF_16_MARKS.iter().any(|mark| part.starts_with(mark)) {
            return Err(Unreadable::Utf16);
        }
        self.is_marked |= self.seen == 0 && part.starts_with(UTF_8_MARK);
        if let Some(zero) = part.iter().position(|&byte| byte == 0) {
            return Err(Unreadable::NotText(self.seen + zero as u64));
        }
        if !self.is_utf8 {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.broken);
        bytes.extend_from_slice(part);
        if let Err(error) = std::str::from_utf8(&bytes) {
            if error.error_len().is_none() && !is_last {
                self.broken = bytes.split_off(error.valid_up_to());
            } else {
                self.is_utf8 = false;
            }
        }
        Ok(())
    }

    /// The layout by the beginning of the file, and where its first record begins.
    fn begin(&mut self, part: &[u8]) -> Result<(Layout, usize), Unreadable> {
        let mark = if part.starts_with(UTF_8_MARK) {
            UTF_8_MARK.len()
        } else {
            0
        };
        let mut layout = Layout {
            encoding: Encoding::Utf8,
            delimiter: None,
            columns: Vec::new(),
            ignored: Vec::new(),
            first_byte: mark as u64,
            first_line: 1,
        };
        if self.format == FileFormat::Ndjson {
            return Ok((layout, mark));
        }
        let (mut at, mut line) = (mark, 1);
        // What Excel takes for an instruction, and others write for it.
        if part[at..].starts_with(b"sep=") {
            let end = part[at..].iter().position(|&byte| byte == b'\n');
            at += end.ok_or(Unreadable::NoLines)? + 1;
            line += 1;
        }
        let table = &part[at..];
        let tables = DELIMITERS.map(|delimiter| {
            let header = cut(table, true, line, Separation::Table { delimiter }, 1);
            let fields = header.records.first().map(|record| record.fields.clone());
            let columns = fields
                .as_ref()
                .map(|fields| self.columns(fields))
                .unwrap_or_default();
            let known = columns.iter().flatten().count();
            (
                known,
                fields.map_or(0, |fields| fields.len()),
                delimiter,
                header,
                columns,
            )
        });
        let best = tables
            .into_iter()
            .max_by_key(|(known, width, ..)| (*known, *width));
        let (_, width, delimiter, header, columns) = best.ok_or(Unreadable::Empty)?;
        let Some(titles) = header.records.into_iter().next() else {
            return Err(Unreadable::Empty);
        };
        if width > MOST_COLUMNS {
            return Err(Unreadable::TooManyColumns);
        }
        self.check_columns(&columns)?;
        let ignored = titles.fields.iter().zip(&columns);
        let ignored =
            ignored.filter(|(title, column)| column.is_none() && !title.trim_ascii().is_empty());
        layout.ignored = ignored
            .map(|(title, _)| {
                let title = String::from_utf8_lossy(title.trim_ascii());
                title
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(MOST_REPEATED)
                    .collect()
            })
            .collect();
        layout.delimiter = Some(delimiter);
        layout.columns = columns;
        layout.first_byte = (at + header.bytes) as u64;
        layout.first_line = header.next_line;
        self.line = header.next_line;
        Ok((layout, at + header.bytes))
    }

    /// What the columns with these titles hold.
    fn columns(&self, titles: &ByteRecord) -> Vec<Option<Field>> {
        let field = |title: &[u8]| {
            let utf8 = folded(&Encoding::Utf8.text(title));
            let windows = folded(&Encoding::Windows1252.text(title));
            Field::ALL
                .iter()
                .copied()
                .find(|field| match self.titles.get(field) {
                    Some(own) => [&utf8, &windows].contains(&&folded(own)),
                    None => folded(field.name()) == utf8 || field.also().contains(&&*utf8),
                })
        };
        titles.iter().map(field).collect()
    }

    fn check_columns(&self, columns: &[Option<Field>]) -> Result<(), Unreadable> {
        let has = |field| columns.contains(&Some(field));
        for field in Field::ALL {
            if columns
                .iter()
                .filter(|column| **column == Some(*field))
                .count()
                > 1
            {
                return Err(Unreadable::Twice(field.name()));
            }
        }
        let title = |field: Field| match self.titles.get(&field) {
            Some(title) => title.clone(),
            None => field.name().to_owned(),
        };
        // A column that the client names is one that the client counts on.
        if let Some((_, title)) = self.titles.iter().find(|(field, _)| !has(**field)) {
            return Err(Unreadable::Missing(title.clone()));
        }
        if !has(Field::Name) && !has(Field::Family) {
            return Err(Unreadable::Missing(title(Field::Name)));
        }
        if !has(Field::DateOfBirth) {
            return Err(Unreadable::Missing(title(Field::DateOfBirth)));
        }
        if has(Field::Identifier) != has(Field::IdentifierSystem) {
            let other = if has(Field::Identifier) {
                Field::IdentifierSystem
            } else {
                Field::Identifier
            };
            return Err(Unreadable::Missing(title(other)));
        }
        Ok(())
    }
}

/// A title without what people write differently: `Date of birth`, `date_of_birth`, `dateOfBirth`.
fn folded(title: &str) -> String {
    let letters = title.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(format: FileFormat, file: &[u8], part: usize) -> Result<(Layout, u64), Unreadable> {
        let mut look = Look::new(format, BTreeMap::new());
        let parts: Vec<&[u8]> = file.chunks(part).collect();
        for (number, bytes) in parts.iter().enumerate() {
            look.at(bytes, number + 1 == parts.len())?;
        }
        look.end()
    }

    fn table(file: &[u8]) -> Result<(Layout, u64), Unreadable> {
        let whole = look(FileFormat::Csv, file, file.len().max(1));
        for part in [1, 7, 64] {
            assert_eq!(look(FileFormat::Csv, file, part), whole, "{part}");
        }
        whole
    }

    #[test]
    fn tables_are_read_as_people_have_them() {
        for (file, encoding, delimiter, line) in [
            (
                &b"name,dateOfBirth\nZo,2000-01-01\n"[..],
                Encoding::Utf8,
                b',',
                2,
            ),
            (
                b"\xef\xbb\xbfName;Date of birth\r\nZo;1.1.2000\r\n",
                Encoding::Utf8,
                b';',
                2,
            ),
            (
                b"sep=;\r\nName;DOB;Ort\r\nZ\xf6;1.1.2000;K\xf6ln\r\n",
                Encoding::Windows1252,
                b';',
                3,
            ),
            (
                b"FAMILY_NAME\tBirthdate\nZ\xc3\xb6\t2000-01-01",
                Encoding::Utf8,
                b'\t',
                2,
            ),
        ] {
            let (layout, lines) = table(file).unwrap();
            assert_eq!(layout.encoding, encoding);
            assert_eq!(layout.delimiter, Some(delimiter));
            assert_eq!((layout.first_line, lines), (line, 1));
        }
    }

    #[test]
    fn a_column_that_is_not_taken_is_named() {
        let (layout, _) = table(b"name,Hausarzt,dob\na,b,c\n").unwrap();
        assert_eq!(layout.ignored, ["Hausarzt"]);
        assert_eq!(
            layout.columns,
            [Some(Field::Name), None, Some(Field::DateOfBirth)]
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_refused_as_a_whole() {
        let mut many = b"name,dob\n".to_vec();
        many.extend(b"a,b\n".repeat(100_001));
        for (file, refusal) in [
            (&b""[..], Unreadable::Empty),
            (
                b"\xef\xbb\xbfname,dob\nZ\xf6,2000-01-01\n",
                Unreadable::NotUtf8,
            ),
            (b"name,dob\n", Unreadable::NoLines),
            (
                b"name;email\na;b\n",
                Unreadable::Missing("dateOfBirth".to_owned()),
            ),
            (b"email,dob\na,b\n", Unreadable::Missing("name".to_owned())),
            (b"name,dob,Name\na,b,c\n", Unreadable::Twice("name")),
            (b"\xff\xfen\0a\0m\0e\0", Unreadable::Utf16),
            (b"name,dob\na\0,b\n", Unreadable::NotText(10)),
            (b"name,dob\n\"a,b\nc,d\ne,f", Unreadable::Unclosed(2)),
            (&many, Unreadable::TooManyLines),
        ] {
            assert_eq!(look(FileFormat::Csv, file, 64 * 1024).unwrap_err(), refusal);
        }
        let long = [b"name,dob\n\"", &*vec![b'x'; 200_000]].concat();
        assert!(matches!(
            look(FileFormat::Csv, &long, 64 * 1024),
            Err(Unreadable::TooLong(2))
        ));
        let latin = look(FileFormat::Ndjson, b"{\"name\":\"Z\xf6\"}\n", 64);
        assert_eq!(latin.unwrap_err(), Unreadable::NotUtf8);
    }

    #[test]
    fn the_client_may_say_how_the_columns_are_called() {
        let titles = BTreeMap::from([
            (Field::Name, "Name, Vorname".to_owned()),
            (Field::DateOfBirth, "Geb\u{fc}rtig am".to_owned()),
        ]);
        let file = b"Geb\xfcrtig am;Name, Vorname\n1.1.2000;Zo\n";
        let mut with = Look::new(FileFormat::Csv, titles.clone());
        with.at(file, true).unwrap();
        let (layout, _) = with.end().unwrap();
        assert_eq!(
            layout.columns,
            [Some(Field::DateOfBirth), Some(Field::Name)]
        );
        let mut without = Look::new(FileFormat::Csv, titles);
        let missing = without.at(b"name;dob\na;b\n", true).unwrap_err();
        assert_eq!(missing, Unreadable::Missing("Name, Vorname".to_owned()));
    }
}
