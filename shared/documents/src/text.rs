//! Lines of text: which letters stand where.
//!
//! A line may mix writings: an Arabic name, a German street, a number. It is cut into runs of one
//! direction (the Unicode Bidirectional Algorithm), of one script and of one font; each run is shaped,
//! and the runs are put side by side as they are seen.

use std::{cell::RefCell, collections::BTreeSet, ops::Range};

use harfrust::{BufferFlags, Direction, ShapeOptions, UnicodeBuffer};
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{BidiControl, DefaultIgnorableCodePoint, GeneralCategory, Script},
};
use krilla::text::{Font, GlyphId, KrillaGlyph};
use unicode_bidi::{BidiInfo, Level};

use crate::fonts::{Face, Faces, Weight};

/// What stands for a letter that no font has.
const MISSING: char = char::REPLACEMENT_CHARACTER;

/// Persian names are spelt with them.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Style {
    /// In points.
    pub(crate) size: f32,
    pub(crate) weight: Weight,
    pub(crate) colour: Colour,
}

/// The colours of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Black,
    /// For what is said by the way.
    Grey,
    /// For what must not be overlooked.
    Red,
    /// For lines between rows.
    Pale,
    /// Behind the head of a table.
    Tint,
}

impl Style {
    pub(crate) const fn regular(size: f32) -> Self {
        Self {
            size,
            weight: Weight::Regular,
            colour: Colour::Black,
        }
    }

    pub(crate) const fn bold(size: f32) -> Self {
        Self {
            weight: Weight::Bold,
            ..Self::regular(size)
        }
    }

    pub(crate) const fn in_colour(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }

    /// From one line to the next.
    pub(crate) fn leading(self) -> f32 {
        self.size * 1.3
    }
}

/// A line that is ready to be drawn.
#[derive(Clone)]
pub(crate) struct Line {
    /// As it is read.
    pub(crate) text: String,
    pub(crate) style: Style,
    /// From left to right.
    pub(crate) runs: Vec<Run>,
    /// In points.
    pub(crate) width: f32,
}

/// A part of a line with one font.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) font: Font,
    /// From left to right. Their advances are in ems, their ranges in the text of the line.
    pub(crate) glyphs: Vec<KrillaGlyph>,
    /// In points.
    pub(crate) width: f32,
}

/// Sets text with the fonts, and remembers the letters that they lack.
pub(crate) struct Setter {
    faces: &'static Faces,
    missing: RefCell<BTreeSet<char>>,
    buffer: RefCell<Option<UnicodeBuffer>>,
}

impl Setter {
    pub(crate) fn new(faces: &'static Faces) -> Self {
        Self {
            faces,
            missing: RefCell::default(),
            buffer: RefCell::default(),
        }
    }

    /// The letters that no font has, in order.
    pub(crate) fn missing(self) -> Vec<char> {
        self.missing.into_inner().into_iter().collect()
    }

    /// The text in one line, however long.
    pub(crate) fn line(&self, text: &str, style: Style) -> Line {
        self.set(self.drawable(text, style.weight), None, style)
    }

    /// The text in lines of this width, at most so many: the last one ends with … if there is more.
    pub(crate) fn lines(&self, text: &str, style: Style, width: f32, at_most: usize) -> Vec<Line> {
        let text = self.drawable(text, style.weight);
        let level = BidiInfo::new(&text, None)
            .paragraphs
            .first()
            .map(|paragraph| paragraph.level);
        let whole = self.set(text, level, style);
        if whole.width <= width {
            return vec![whole];
        }
        let ranges = break_up(&whole, width);
        let mut lines: Vec<Line> = ranges
            .iter()
            .take(at_most)
            .map(|range| self.set(whole.text[range.clone()].trim().to_owned(), level, style))
            .collect();
        if ranges.len() > at_most
            && let Some(last) = lines.last_mut()
        {
            *last = self.shortened(&last.text, level, style, width);
        }
        lines
    }

    /// As much of a text as fits besides a … at its end.
    fn shortened(&self, text: &str, level: Option<Level>, style: Style, width: f32) -> Line {
        let mut kept = text.to_owned();
        loop {
            let line = self.set(format!("{}…", kept.trim_end()), level, style);
            if line.width <= width || kept.pop().is_none() {
                return line;
            }
        }
    }

    /// The text without what cannot be drawn, is not seen, or would change the direction of what
    /// surrounds it.
    fn drawable(&self, text: &str, weight: Weight) -> String {
        let controls = CodePointSetData::new::<BidiControl>();
        let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
        let categories = CodePointMapData::<GeneralCategory>::new();
        text.chars()
            .filter_map(|letter| {
                if JOINERS.contains(&letter) {
                    return Some(letter);
                }
                if controls.contains(letter) || ignorable.contains(letter) {
                    return None;
                }
                match categories.get(letter) {
                    GeneralCategory::Control
                    | GeneralCategory::LineSeparator
                    | GeneralCategory::ParagraphSeparator => return Some(' '),
                    // PDF/A has no place for a letter without a meaning.
                    GeneralCategory::PrivateUse | GeneralCategory::Unassigned => {}
                    _ if self.faces.face_of(letter, weight).is_some() => return Some(letter),
                    _ => {}
                }
                self.missing.borrow_mut().insert(letter);
                Some(MISSING)
            })
            .collect()
    }

    /// Sets a line of a paragraph whose direction is `level`, or that of its first letter.
    fn set(&self, text: String, level: Option<Level>, style: Style) -> Line {
        let mut runs = Vec::new();
        let mut bidi = BidiInfo::new(&text, level);
        keep_numbers_whole(&text, &mut bidi.levels);
        for paragraph in &bidi.paragraphs {
            let (levels, visual) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for range in visual {
                let right_to_left = levels[range.start].is_rtl();
                let mut parts = self.of_one_font(&text, range, style.weight);
                if right_to_left {
                    parts.reverse();
                }
                for (face, part) in parts {
                    runs.push(self.shape(face, &text, part, right_to_left, style.size));
                }
            }
        }
        Line {
            width: runs.iter().map(|run| run.width).sum(),
            text,
            style,
            runs,
        }
    }

    /// Cuts a range into parts of one font and one script, in the order in which they are read.
    fn of_one_font(
        &self,
        text: &str,
        range: Range<usize>,
        weight: Weight,
    ) -> Vec<(&'static Face, Range<usize>)> {
        let scripts = CodePointMapData::<Script>::new();
        let mut parts: Vec<(&'static Face, Script, Range<usize>)> = Vec::new();
        for (at, letter) in text[range.clone()].char_indices() {
            let at = range.start + at;
            let end = at + letter.len_utf8();
            let script = scripts.get(letter);
            let belongs_to_any = matches!(script, Script::Common | Script::Inherited);
            let Some(face) = self.faces.face_of(letter, weight) else {
                continue;
            };
            match parts.last_mut() {
                // A mark is drawn with the font of its letter. If that lacks it, it is its own run.
                Some((last, of, part))
                    if *last == face
                        && (belongs_to_any || script == *of || *of == Script::Common) =>
                {
                    if !belongs_to_any {
                        *of = script;
                    }
                    part.end = end;
                }
                _ => {
                    let script = if belongs_to_any {
                        Script::Common
                    } else {
                        script
                    };
                    parts.push((face, script, at..end));
                }
            }
        }
        parts
            .into_iter()
            .map(|(face, _, part)| (face, part))
            .collect()
    }

    fn shape(
        &self,
        face: &Face,
        text: &str,
        range: Range<usize>,
        right_to_left: bool,
        size: f32,
    ) -> Run {
        let mut buffer = self.buffer.take().unwrap_or_default();
        for (at, letter) in text[range.clone()].char_indices() {
            buffer.add(letter, u32::try_from(range.start + at).unwrap_or(u32::MAX));
        }
        buffer.set_direction(if right_to_left {
            Direction::RightToLeft
        } else {
            Direction::LeftToRight
        });
        buffer.set_flags(BufferFlags::REMOVE_DEFAULT_IGNORABLES);
        buffer.guess_segment_properties();
        let with = face.shaping.shaper(&face.reference).build();
        let shaped = with.shape(buffer, ShapeOptions::new());

        let mut starts: Vec<usize> = shaped
            .glyph_infos()
            .iter()
            .map(|info| info.cluster as usize)
            .collect();
        starts.sort_unstable();
        starts.dedup();
        let per_em = face.font.units_per_em();
        let glyphs: Vec<KrillaGlyph> = shaped
            .glyph_infos()
            .iter()
            .zip(shaped.glyph_positions())
            .map(|(info, position)| {
                let start = info.cluster as usize;
                let next = starts.partition_point(|other| *other <= start);
                let end = starts.get(next).copied().unwrap_or(range.end);
                let (start, end) = without_joiners(text, start, end);
                KrillaGlyph::new(
                    GlyphId::new(info.glyph_id),
                    ems(position.x_advance, per_em),
                    ems(position.x_offset, per_em),
                    ems(position.y_offset, per_em),
                    0.0,
                    start..end,
                    None,
                )
            })
            .collect();
        self.buffer.replace(Some(shaped.clear()));
        Run {
            font: face.font.clone(),
            width: glyphs.iter().map(|glyph| glyph.x_advance * size).sum(),
            glyphs,
        }
    }
}

/// A joiner is not drawn; who copies the text would find it at the wrong side of its letter.
fn without_joiners(text: &str, start: usize, end: usize) -> (usize, usize) {
    let cluster = &text[start..end];
    let kept = cluster.trim_matches(JOINERS);
    if kept.is_empty() {
        return (start, end);
    }
    let start = start + cluster.len() - cluster.trim_start_matches(JOINERS).len();
    (start, start + kept.len())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a letter is a few thousand units wide"
)]
fn ems(units: i32, per_em: f32) -> f32 {
    units as f32 / per_em
}

/// Lets each number run from left to right, whatever surrounds it.
///
/// Between Arabic letters the bidirectional algorithm takes the hyphen of 2026-0001 for punctuation
/// between two numbers, and shows 0001-2026. Here, what is written without a space and has a digit in
/// it is one number, and so is a telephone number, which begins with +.
fn keep_numbers_whole(text: &str, levels: &mut [Level]) {
    for token in numbers(text) {
        let Some(highest) = levels[token.clone()].iter().max() else {
            continue;
        };
        // The next even level: 0 or 1 becomes 2 within right-to-left text, and 0 stays outside of it.
        let whole = Level::new((highest.number() + 1) & !1).unwrap_or(*highest);
        levels[token].fill(whole);
    }
}

/// Where the numbers are.
fn numbers(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut letters = text.char_indices().peekable();
    let mut before = ' ';
    while let Some((start, first)) = letters.next() {
        // Not what joins a prefix with a number, as in Hebrew.
        let is_sign = matches!(first, '+' | '-' | '−' | '#') && !before.is_alphabetic();
        before = first;
        if !first.is_ascii_alphanumeric() && !is_sign {
            continue;
        }
        let is_telephone_number = first == '+';
        let mut has_digit = first.is_ascii_digit();
        let mut end = start + usize::from(!is_sign);
        while let Some((at, letter)) = letters.peek().copied() {
            let joins = matches!(
                letter,
                '-' | '.' | ',' | '/' | ':' | '_' | '\'' | '\u{a0}' | '\u{202f}' | '@'
            ) || (is_telephone_number && matches!(letter, ' ' | '(' | ')'));
            if letter.is_ascii_alphanumeric() || (letter == '%' && has_digit) {
                if is_telephone_number && letter.is_ascii_alphabetic() {
                    break;
                }
                has_digit |= letter.is_ascii_digit();
                end = at + 1;
            } else if !joins {
                break;
            }
            before = letter;
            letters.next();
        }
        if has_digit && end > start {
            found.push(start..end);
        }
    }
    found
}

/// Where lines of this width begin and end.
fn break_up(line: &Line, width: f32) -> Vec<Range<usize>> {
    let mut clusters: Vec<(usize, f32)> = line
        .runs
        .iter()
        .flat_map(|run| &run.glyphs)
        .map(|glyph| (glyph.text_range.start, glyph.x_advance * line.style.size))
        .collect();
    clusters.sort_by_key(|(start, _)| *start);

    let mut ranges = Vec::new();
    let (mut start, mut used) = (0, 0.0);
    // Where the line may end, and what had been used by then.
    let mut possible: Option<(usize, f32)> = None;
    for (at, advance) in clusters {
        if at > start && may_break_before(&line.text, at) {
            possible = Some((at, used));
        }
        let is_space = line.text[at..].starts_with(' ');
        if used + advance > width && at > start && !is_space {
            let (end, before) = possible.take().unwrap_or((at, used));
            ranges.push(start..end);
            start = end;
            used -= before;
        }
        used += advance;
    }
    ranges.push(start..line.text.len());
    ranges
}

/// Whether a line may end here: after a space or a hyphen between letters, and between Chinese
/// characters.
fn may_break_before(text: &str, at: usize) -> bool {
    let mut before = text[..at].chars().rev();
    let (Some(last), Some(next)) = (before.next(), text[at..].chars().next()) else {
        return false;
    };
    let scripts = CodePointMapData::<Script>::new();
    let stands_alone = |letter| {
        matches!(
            scripts.get(letter),
            Script::Han | Script::Hiragana | Script::Katakana
        )
    };
    match last {
        ' ' => next != ' ',
        '-' | '/' | '–' => next.is_alphabetic() && before.next().is_some_and(char::is_alphabetic),
        _ => stands_alone(next) && (stands_alone(last) || matches!(last, '，' | '。' | '、')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style::regular(10.0);

    fn setter() -> Setter {
        Setter::new(Faces::get().unwrap())
    }

    /// The text as it is seen, from left to right.
    fn seen(line: &Line) -> String {
        let mut seen = String::new();
        for glyph in line.runs.iter().flat_map(|run| &run.glyphs) {
            seen.push_str(&line.text[glyph.text_range.clone()]);
        }
        seen
    }

    #[test]
    fn numbers_are_found_as_people_write_them() {
        let cases = [
            ("رقم 2026-0001 من", vec!["2026-0001"]),
            (
                "RE-2026/17, EUR\u{a0}1,234.50.",
                vec!["RE-2026/17", "EUR\u{a0}1,234.50"],
            ),
            (
                "1\u{202f}234,50\u{a0}EUR und 19\u{a0}%",
                vec!["1\u{202f}234,50\u{a0}EUR", "19\u{a0}%"],
            ),
            ("tel. +49 (40) 5550 1234 abc", vec!["+49 (40) 5550 1234"]),
            ("−12.50", vec!["−12.50"]),
            ("ב-30.11.2026", vec!["30.11.2026"]),
            ("12 34", vec!["12", "34"]),
            ("a@b1.example", vec!["a@b1.example"]),
            ("no number - at all", vec![]),
        ];
        for (text, expected) in cases {
            let found: Vec<&str> = numbers(text)
                .into_iter()
                .map(|range| &text[range])
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_number_is_whole_whatever_surrounds_it() {
        let setter = setter();
        for number in [
            "2026-0001",
            "2026/0001-7",
            "+98 21 1234 5678",
            "1,234.50",
            "−12.50",
            "88%",
        ] {
            for text in [
                format!("محمد {number}"),
                format!("{number} محمد"),
                format!("شارع {number} الرياض"),
                format!("רחוב {number} תל אביב"),
                format!("Invoice شارع {number} الرياض of"),
                format!("王{number}号"),
            ] {
                let line = seen(&setter.line(&text, STYLE));
                assert!(line.contains(number), "{text}: {line}");
            }
        }
    }

    #[test]
    fn hebrew_runs_from_right_to_left_and_arabic_is_joined() {
        let setter = setter();
        let hebrew = setter.line("שלום world", STYLE);
        assert_eq!(seen(&hebrew), "world םולש");
        // The same letter alone, at the beginning, in the middle and at the end of a word.
        let glyphs = |text: &str| -> Vec<u32> {
            let line = setter.line(text, STYLE);
            let glyphs = line.runs.iter().flat_map(|run| &run.glyphs);
            glyphs.map(|glyph| glyph.glyph_id.to_u32()).collect()
        };
        let mut shapes = [glyphs("م"), glyphs("ممم")].concat();
        shapes.sort_unstable();
        shapes.dedup();
        assert_eq!(shapes.len(), 4);
        assert!(glyphs("שלום ممم").starts_with(&glyphs("ممم")));
    }

    #[test]
    fn what_is_not_seen_or_would_mislead_is_left_out() {
        let setter = setter();
        let line = setter.line("a\u{202e}b\u{200b}c\u{feff}\td\u{2066}e\u{0}f", STYLE);
        assert_eq!(line.text, "abc de f");
        assert!(setter.line("", STYLE).runs.is_empty());
        assert!(setter.missing().is_empty());
    }

    #[test]
    fn a_letter_that_no_font_has_is_shown_as_missing_and_reported() {
        let setter = setter();
        let line = setter.line("𠮷田 ไทย \u{e000} 🩺", STYLE);
        assert_eq!(line.text, "�田 ��� � �");
        assert_eq!(setter.missing(), ['ท', 'ย', 'ไ', '\u{e000}', '🩺', '𠮷']);
    }

    #[test]
    fn lines_end_between_words_and_none_is_too_long() {
        let setter = setter();
        let texts = [
            "A vaccination against influenza, including the vaccine and what to watch for",
            "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenpolitur",
            "北京市朝阳区建国路八十八号现代城公寓楼二十四层二四零一室，收件人王小明",
            "شارع الملك فهد بن عبد العزيز مقابل المستشفى الكبير 2026-0001",
        ];
        for text in texts {
            let lines = setter.lines(text, STYLE, 120.0, 9);
            assert!(
                lines.len() > 1 && lines.iter().all(|line| line.width <= 120.0),
                "{text}"
            );
            let together: String = lines.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(together.replace(' ', ""), text.replace(' ', ""));
            if text.starts_with('A') {
                let words: Vec<&str> = lines.iter().flat_map(|line| line.text.split(' ')).collect();
                assert_eq!(words.join(" "), text);
            }
        }
    }

    #[test]
    fn what_does_not_fit_ends_with_an_ellipsis() {
        let lines = setter().lines(&"word ".repeat(100), STYLE, 100.0, 3);
        assert_eq!(lines.len(), 3);
        assert!(lines[2].text.ends_with('…') && lines[2].width <= 100.0);
    }

    #[test]
    fn every_line_of_a_paragraph_runs_as_its_first() {
        let setter = setter();
        let lines = setter.lines(
            "Certificate for somebody شهادة مرضية, then",
            STYLE,
            118.0,
            9,
        );
        let last = lines.last().unwrap();
        assert!(seen(last).ends_with("then"), "{}", seen(last));
    }
}
