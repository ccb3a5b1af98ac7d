//! Fonts without what a document does not need.
//!
//! What is embedded keeps the licence of the whole font in every language, and programs for screens
//! of the last century: 4 kB a font, of which a page has two or three. `DejaVu` Sans Condensed has no
//! instructions in its letters, so that these programs do nothing.

/// For screens: the programs, their numbers, and when to run them.
const FOR_SCREENS: [&[u8]; 4] = [b"fpgm", b"prep", b"cvt ", b"gasp"];

/// The name that a PDF knows the font by.
const POST_SCRIPT_NAME: u16 = 6;

/// The font without them. None if it is no TrueType font.
pub(super) fn slim(font: &[u8]) -> Option<Vec<u8>> {
    let count = number(font, 4)?;
    let mut tables = Vec::new();
    for index in 0..usize::from(count) {
        let entry = font.get(12 + index * 16..)?.get(..16)?;
        let tag = entry.get(..4)?;
        let start = long(entry, 8)?;
        let content = font.get(start..)?.get(..long(entry, 12)?)?;
        if FOR_SCREENS.contains(&tag) {
            continue;
        }
        let content = if tag == b"name" {
            name_only(content)?
        } else {
            content.to_vec()
        };
        tables.push((tag, entry.get(4..8)?, content));
    }

    let mut slim = font.get(..4)?.to_vec();
    slim.extend(u16::try_from(tables.len()).ok()?.to_be_bytes());
    // How to search the tables. Nothing does.
    slim.extend([0; 6]);
    let mut offset = 12 + tables.len() * 16;
    for (tag, checksum, content) in &tables {
        slim.extend(*tag);
        slim.extend(*checksum);
        slim.extend(u32::try_from(offset).ok()?.to_be_bytes());
        slim.extend(u32::try_from(content.len()).ok()?.to_be_bytes());
        offset += content.len().next_multiple_of(4);
    }
    for (_, _, content) in tables {
        slim.extend(&content);
        slim.resize(slim.len().next_multiple_of(4), 0);
    }
    Some(slim)
}

/// The table of names with one name.
fn name_only(table: &[u8]) -> Option<Vec<u8>> {
    let names = table.get(usize::from(number(table, 4)?)..)?;
    let mut records = Vec::new();
    let mut texts: Vec<u8> = Vec::new();
    for index in 0..usize::from(number(table, 2)?) {
        let record = table.get(6 + index * 12..)?.get(..12)?;
        if number(record, 6)? == POST_SCRIPT_NAME {
            let start = usize::from(number(record, 10)?);
            let text = names.get(start..)?.get(..usize::from(number(record, 8)?))?;
            let start = u16::try_from(texts.len()).ok()?;
            records.push((record.get(..10)?, start));
            texts.extend(text);
        }
    }
    let mut only = vec![0, 0];
    let count = u16::try_from(records.len()).ok()?;
    only.extend(count.to_be_bytes());
    only.extend((6 + count * 12).to_be_bytes());
    for (record, start) in records {
        only.extend(record);
        only.extend(start.to_be_bytes());
    }
    only.extend(texts);
    Some(only)
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 4)?;
    usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(font: &[u8]) -> Vec<String> {
        (0..usize::from(number(font, 4).unwrap()))
            .map(|index| String::from_utf8_lossy(&font[12 + index * 16..][..4]).into_owned())
            .collect()
    }

    #[test]
    fn a_slim_font_keeps_its_letters_and_loses_what_screens_needed() {
        let whole = dejavu::sans_condensed::regular();
        let slim = slim(whole).unwrap();
        assert!(tables(whole).iter().any(|table| table == "prep"));
        for table in FOR_SCREENS {
            assert!(!tables(&slim).iter().any(|other| other.as_bytes() == table));
        }
        assert_eq!(tables(&slim).len(), tables(whole).len() - 4);
        assert!(
            slim.len() + 15_000 < whole.len(),
            "{} of {}",
            slim.len(),
            whole.len()
        );
    }

    #[test]
    fn what_is_no_font_is_refused() {
        for other in [
            &b""[..],
            b"%PDF-1.7",
            &dejavu::sans_condensed::regular()[..5000],
        ] {
            assert!(slim(other).is_none());
        }
    }
}
