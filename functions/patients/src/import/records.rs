//! Cuts a part of a file into its records, and says where the next one begins.

use csv::{ByteRecord, ReaderBuilder};

/// The longest record, in bytes. A quotation mark that is never closed makes a longer one.
pub(crate) const LONGEST: usize = 64 * 1024;

/// How records are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separation {
    /// By line ends outside quotation marks, and fields by this character.
    Table { delimiter: u8 },
    /// By line ends.
    Lines,
}

/// A record as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The line on which it begins, counted from 1.
    pub(crate) line: u64,
    /// Its fields; one, in a file without a table.
    pub(crate) fields: ByteRecord,
}

/// The records of a part of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) records: Vec<Record>,
    /// How many bytes they take up, with everything between them.
    pub(crate) bytes: usize,
    /// The line on which the next record begins.
    pub(crate) next_line: u64,
    /// A record with a quotation mark that is never closed begins on this line.
    pub(crate) unclosed: Option<u64>,
}

/// Cuts off at most this many records. What follows the last line end is a record only if the file
/// ends with it.
pub(crate) fn cut(
    part: &[u8],
    is_last: bool,
    line: u64,
    separation: Separation,
    most: usize,
) -> Cut {
    match separation {
        Separation::Lines => lines(part, is_last, line, most),
        Separation::Table { delimiter } => table(part, is_last, line, delimiter, most),
    }
}

fn lines(part: &[u8], is_last: bool, line: u64, most: usize) -> Cut {
    let mut cut = Cut {
        next_line: line,
        ..Cut::default()
    };
    while cut.records.len() < most && cut.bytes < part.len() {
        let rest = &part[cut.bytes..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let (text, length) = match end {
            Some(end) => (&rest[..end], end + 1),
            None if is_last => (rest, rest.len()),
            None => break,
        };
        if !text.trim_ascii().is_empty() {
            cut.records.push(Record {
                line: cut.next_line,
                fields: ByteRecord::from(vec![text.trim_ascii()]),
            });
        }
        cut.bytes += length;
        cut.next_line += 1;
    }
    cut
}

fn table(part: &[u8], is_last: bool, line: u64, delimiter: u8, most: usize) -> Cut {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(part);
    let mut cut = Cut {
        next_line: line,
        ..Cut::default()
    };
    let mut fields = ByteRecord::new();
    while cut.records.len() < most {
        if !matches!(reader.read_byte_record(&mut fields), Ok(true)) {
            // What is left are empty lines.
            if is_last {
                cut.next_line += line_ends(part[cut.bytes..].iter().copied());
                cut.bytes = part.len();
            }
            break;
        }
        let end = usize::try_from(reader.position().byte())
            .unwrap_or(usize::MAX)
            .min(part.len());
        if end == part.len() && !is_last {
            break;
        }
        // The reader stops between the halves of a line end.
        let is_halved = part[..end].ends_with(b"\r") && part[end..].starts_with(b"\n");
        let end = end + usize::from(is_halved);
        let text = &part[cut.bytes..end];
        // The reader passes over empty lines.
        let blank = text.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let begins = cut.next_line + line_ends(blank.copied());
        let record = text.trim_ascii();
        // With an even number of them, each is closed. A single one within a line, as in 5", is text.
        let is_quote = |byte: &&u8| **byte == b'"';
        let quotes = record.iter().filter(is_quote).count();
        if quotes % 2 == 1 && record.contains(&b'\n') && end == part.len() {
            cut.unclosed = Some(begins);
        }
        cut.next_line += line_ends(text.iter().copied());
        cut.bytes = end;
        // A line of nothing but white space, as at the end of many files.
        if fields.len() > 1 || fields.iter().any(|field| !field.trim_ascii().is_empty()) {
            cut.records.push(Record {
                line: begins,
                fields: fields.clone(),
            });
        }
    }
    cut
}

/// A line ends with a line feed, a carriage return, or both.
fn line_ends(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut ends = 0;
    let mut last = 0;
    for byte in bytes {
        ends += u64::from(byte == b'\r' || (byte == b'\n' && last != b'\r'));
        last = byte;
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMA: Separation = Separation::Table { delimiter: b',' };

    fn texts(cut: &Cut) -> Vec<(u64, Vec<String>)> {
        let text = |field: &[u8]| String::from_utf8(field.to_vec()).unwrap();
        let records = cut.records.iter();
        records
            .map(|record| (record.line, record.fields.iter().map(text).collect()))
            .collect()
    }

    /// However the file comes in parts, its records are the same.
    #[test]
    fn a_file_in_parts_has_the_same_records_as_in_one() {
        let table = "a,b\r\n\"c,\nd\",\"e \"\"f\"\"\"\n\n\r\ng,h\n  \ni,\"j\r\nk\"";
        let lines = "{\"a\":1}\r\n\n{\"b\":\"\u{e9}\"}\n{\"c\":3}";
        for (file, separation) in [(table, COMMA), (lines, Separation::Lines)] {
            let file = file.as_bytes();
            let whole = cut(file, true, 1, separation, 100);
            assert_eq!(whole.bytes, file.len());
            for size in 1..=file.len() {
                let (mut at, mut line, mut records) = (0, 1, Vec::new());
                let mut end = size;
                while at < file.len() {
                    let is_last = end >= file.len();
                    let part = cut(&file[at..end.min(file.len())], is_last, line, separation, 2);
                    at += part.bytes;
                    line = part.next_line;
                    records.extend(texts(&part));
                    end = if part.bytes == 0 {
                        end + size
                    } else {
                        end.max(at + size)
                    };
                }
                assert_eq!(records, texts(&whole), "{size}");
            }
        }
    }

    #[test]
    fn line_ends_at_the_end_of_the_file_are_passed_over() {
        for end in ["", "\n", "\r\n", "\r\n\r\n\n", "\n  \n"] {
            let file = format!("a,b\r\nc,d{end}");
            let mut at = 0;
            let mut records = 0;
            // One record at a time, as a batch that is full.
            while at < file.len() {
                let found = cut(&file.as_bytes()[at..], true, 1, COMMA, 1);
                assert_ne!(found.bytes, 0, "{end:?}");
                at += found.bytes;
                records += found.records.len();
            }
            assert_eq!(records, 2, "{end:?}");
        }
    }

    #[test]
    fn a_record_begins_on_its_own_line() {
        let file = b"a,b\n\n\n\"c\nd\",e\nf,g\n";
        let found = texts(&cut(file, true, 1, COMMA, 100));
        let lines: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 4, 6]);
    }

    #[test]
    fn no_two_records_begin_on_the_same_line_however_lines_end() {
        for file in [
            "a,b\rc,d\re,f\r",
            "a,b\nc,d\ne,f\n",
            "a,b\r\nc,d\r\ne,f",
            "a,b\rc,d\r\ne,f\n",
        ] {
            let found = texts(&cut(file.as_bytes(), true, 1, COMMA, 100));
            let lines: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, [1, 2, 3], "{file:?}");
        }
    }

    #[test]
    fn a_quotation_mark_that_is_never_closed_is_noticed() {
        let found = cut(b"a,b\nc,\"d\ne,f\ng,h\n", true, 1, COMMA, 100);
        assert_eq!(found.unclosed, Some(2));
        let inches = cut(b"a,5\" pipe\nb,c\n", true, 1, COMMA, 100);
        assert_eq!(inches.unclosed, None);
        assert_eq!(inches.records.len(), 2);
    }
}
