//! Reads the text of our own PDFs, as somebody sees it, for tests. It knows as much of the format as
//! they use, and panics at everything else.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

use std::{collections::BTreeMap, io::Read as _};

use flate2::read::ZlibDecoder;

/// A piece of text that is drawn in one go.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// From the left, in points.
    pub x: f32,
    /// From the top, in points.
    pub y: f32,
    /// From left to right: Arabic is in the order in which it is seen.
    pub text: String,
}

/// The pages of a PDF, each with its pieces in the order in which they are drawn.
#[must_use]
pub fn pages(pdf: &[u8]) -> Vec<Vec<Piece>> {
    let objects = objects(pdf);
    let fonts = fonts(&objects);
    objects
        .values()
        .filter(|object| has(object, "/Type/Page/"))
        .map(|page| {
            let content = reference(page, "/Contents ").unwrap();
            let resources = match reference(page, "/Resources ") {
                Some(resources) => objects[&resources],
                None => page,
            };
            pieces(&inflate(objects[&content]), resources, &fonts)
        })
        .collect()
}

/// The lines of a page from top to bottom, each from left to right.
#[must_use]
pub fn lines(page: &[Piece]) -> Vec<String> {
    let mut lines: BTreeMap<i64, Vec<&Piece>> = BTreeMap::new();
    for piece in page {
        #[expect(clippy::cast_possible_truncation, reason = "a page is small")]
        let y = (piece.y * 10.0).round() as i64;
        lines.entry(y).or_default().push(piece);
    }
    lines
        .into_values()
        .map(|mut pieces| {
            pieces.sort_by(|one, other| one.x.total_cmp(&other.x));
            let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
            texts.concat()
        })
        .collect()
}

fn objects(pdf: &[u8]) -> BTreeMap<u32, &[u8]> {
    let mut objects = BTreeMap::new();
    let mut rest = pdf;
    while let Some(at) = find(rest, b" 0 obj") {
        let digits = rest[..at]
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let id = std::str::from_utf8(&rest[at - digits..at]).unwrap();
        let body = &rest[at + 6..];
        let end = find(body, b"\nendobj").unwrap();
        objects.insert(id.parse().unwrap(), &body[..end]);
        rest = &body[end..];
    }
    objects
}

/// What the codes of each font mean, by the object of the font.
fn fonts(objects: &BTreeMap<u32, &[u8]>) -> BTreeMap<u32, BTreeMap<u16, String>> {
    let mut fonts = BTreeMap::new();
    for (id, object) in objects {
        if let Some(map) = reference(object, "/ToUnicode ") {
            fonts.insert(*id, meanings(&inflate(objects[&map])));
        }
    }
    fonts
}

fn meanings(map: &[u8]) -> BTreeMap<u16, String> {
    let text = String::from_utf8_lossy(map).into_owned();
    let mut meanings = BTreeMap::new();
    let mut section = "";
    for line in text.lines() {
        match line.trim() {
            "endbfchar" | "endbfrange" => section = "",
            begin if begin.ends_with("beginbfchar") => section = "char",
            begin if begin.ends_with("beginbfrange") => section = "range",
            entry if section == "char" => {
                let (code, meaning) = entry.split_once(' ').unwrap();
                meanings.insert(units(code)[0], String::from_utf16_lossy(&units(meaning)));
            }
            entry if section == "range" => panic!("not known yet: {entry}"),
            _ => {}
        }
    }
    meanings
}

/// The 16-bit numbers of `<0041 0042>`.
fn units(hex: &str) -> Vec<u16> {
    let digits: String = hex.chars().filter(char::is_ascii_hexdigit).collect();
    digits
        .as_bytes()
        .chunks(4)
        .map(|unit| u16::from_str_radix(std::str::from_utf8(unit).unwrap(), 16).unwrap())
        .collect()
}

fn pieces(
    content: &[u8],
    resources: &[u8],
    fonts: &BTreeMap<u32, BTreeMap<u16, String>>,
) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut operands: Vec<String> = Vec::new();
    let mut shown: Vec<u8> = Vec::new();
    let mut font = None;
    let mut at = 0;
    while at < content.len() {
        match content[at] {
            b'(' => at = string(content, at + 1, &mut shown),
            byte if byte.is_ascii_whitespace() || b"[]<>".contains(&byte) => at += 1,
            _ => {
                let start = at;
                at += 1;
                while at < content.len()
                    && !content[at].is_ascii_whitespace()
                    && !b"[]()<>/".contains(&content[at])
                {
                    at += 1;
                }
                let word = String::from_utf8_lossy(&content[start..at]).into_owned();
                match word.as_str() {
                    "Tf" => {
                        let name = &operands[operands.len() - 2];
                        font = reference(resources, &format!("{name} "));
                    }
                    "Tm" => {
                        let [x, y] =
                            [2, 1].map(|back| operands[operands.len() - back].parse().unwrap());
                        pieces.push(Piece {
                            x,
                            y,
                            text: String::new(),
                        });
                    }
                    "Tj" | "TJ" => {
                        let meanings = &fonts[&font.unwrap()];
                        let piece = pieces.last_mut().unwrap();
                        for code in shown.chunks(2) {
                            let code = u16::from_be_bytes([code[0], code[1]]);
                            piece.text.push_str(&meanings[&code]);
                        }
                    }
                    _ => {
                        operands.push(word);
                        continue;
                    }
                }
                operands.clear();
                shown.clear();
            }
        }
    }
    pieces
}

/// Reads a string to its closing parenthesis, and answers where it ends.
fn string(content: &[u8], mut at: usize, into: &mut Vec<u8>) -> usize {
    let mut depth = 0;
    loop {
        match content[at] {
            b')' if depth == 0 => return at + 1,
            b'\\' => {
                at += 1;
                match content[at] {
                    b'n' => into.push(b'\n'),
                    b'r' => into.push(b'\r'),
                    b't' => into.push(b'\t'),
                    b'b' => into.push(8),
                    b'f' => into.push(12),
                    b'0'..=b'7' => {
                        let octal = std::str::from_utf8(&content[at..at + 3]).unwrap();
                        into.push(u8::from_str_radix(octal, 8).unwrap());
                        at += 2;
                    }
                    other => into.push(other),
                }
            }
            other => {
                match other {
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    _ => {}
                }
                into.push(other);
            }
        }
        at += 1;
    }
}

fn inflate(object: &[u8]) -> Vec<u8> {
    let start = find(object, b"stream\n").unwrap() + 7;
    let mut inflated = Vec::new();
    ZlibDecoder::new(&object[start..])
        .read_to_end(&mut inflated)
        .unwrap();
    inflated
}

/// The object that an entry refers to.
fn reference(object: &[u8], key: &str) -> Option<u32> {
    let value = &object[find(object, key.as_bytes())? + key.len()..];
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    value[digits..].starts_with(b" 0 R").then_some(())?;
    std::str::from_utf8(&value[..digits]).ok()?.parse().ok()
}

fn has(object: &[u8], text: &str) -> bool {
    find(object, text.as_bytes()).is_some()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
