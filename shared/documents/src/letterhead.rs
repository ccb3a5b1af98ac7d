//! Who a document is from and to.

use std::fmt;

use krilla::{geom::Size, image::Image};

use crate::{
    Error,
    fonts::Faces,
    sheet::{About, Align, Direction, MARGIN, Role, Sheet},
    text::{Colour, Setter, Style},
    words::Language,
};

/// Where the address of the receiver begins: in the window of an envelope (DIN 5008, form B).
const WINDOW: f32 = 141.0;

/// Where the document itself begins, below the window.
const CONTENT: f32 = 275.0;

/// How much room what is said below a table has on its page. The rest may go to the next one.
pub(crate) const ENDING: f32 = 76.0;

/// How much room a logo has, in points.
const LOGO: (f32, f32) = (170.0, 54.0);

/// A logo's file is at most this large.
pub const MAX_LOGO_BYTES: usize = 64 * 1024;

/// A logo adds at most this much to a document, so that a page stays below 60 kB. A JPEG is embedded
/// as it is, a PNG as its pixels.
pub const MAX_LOGO_BYTES_IN_PDF: usize = 12 * 1024;

/// A logo is at most so many pixels wide and high.
pub const MAX_LOGO_PIXELS: u32 = 1200;

/// Whose documents these are: what is the same on all of them.
///
/// Texts may have several lines. Empty ones leave nothing on the page.
#[derive(Debug, Clone)]
pub struct Clinic {
    /// The name, which is shown in the place of a missing logo as well. It says what a logo shows.
    pub name: String,
    /// The postal address.
    pub address: String,
    /// Telephone number, e-mail address, web site.
    pub contact: String,
    /// What the law wants at the foot of a page: tax number, register.
    pub registration: String,
    /// Where to pay: the name of the bank, an account's number.
    pub payment: String,
    /// A remark below the total, such as why there is no tax.
    pub remark: String,
    /// The logo.
    pub logo: Option<Logo>,
    /// What the documents are written in.
    pub language: Language,
    /// What they are printed on.
    pub paper: Paper,
}

/// What a document is printed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paper {
    /// 210 × 297 mm.
    #[default]
    A4,
    /// 8.5 × 11 inches.
    Letter,
}

impl Paper {
    /// Width and height in points.
    pub(crate) const fn points(self) -> (f32, f32) {
        match self {
            Self::A4 => (595.28, 841.89),
            Self::Letter => (612.0, 792.0),
        }
    }
}

/// Who a document is for. Its `Debug` does not show who.
#[derive(Clone, Default)]
pub struct Receiver {
    /// The name.
    pub name: String,
    /// The postal address, in lines.
    pub address: String,
    /// The e-mail address, which is shown if there is no postal address.
    pub email: String,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// A clinic's logo, read and found fit to be printed.
#[derive(Clone)]
pub struct Logo(Image);

/// A file is no logo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLogo {
    /// It is neither a PNG nor a JPEG picture, or broken.
    #[error("Must be a PNG or JPEG picture")]
    Unreadable,
    /// It has too many bytes or pixels.
    #[error(
        "Must be at most {MAX_LOGO_PIXELS} pixels wide and high, and add at most {} KiB to a document: \
         take a JPEG, or fewer pixels",
        MAX_LOGO_BYTES_IN_PDF / 1024
    )]
    TooLarge,
}

impl Logo {
    /// Reads a PNG or JPEG file.
    ///
    /// # Errors
    /// If it is none, or too large: see [`MAX_LOGO_BYTES`], [`MAX_LOGO_PIXELS`] and
    /// [`MAX_LOGO_BYTES_IN_PDF`].
    pub fn read(bytes: &[u8]) -> Result<Self, InvalidLogo> {
        if bytes.len() > MAX_LOGO_BYTES {
            return Err(InvalidLogo::TooLarge);
        }
        let image = match bytes {
            [0x89, b'P', b'N', b'G', ..] => Image::from_png(bytes.to_vec().into(), false),
            [0xff, 0xd8, 0xff, ..] => Image::from_jpeg(bytes.to_vec().into(), false),
            _ => return Err(InvalidLogo::Unreadable),
        }
        .map_err(|_| InvalidLogo::Unreadable)?;
        let (width, height) = image.size();
        if width.max(height) > MAX_LOGO_PIXELS {
            return Err(InvalidLogo::TooLarge);
        }
        let logo = Self(image);
        // The picture itself is not looked at before it is printed: print it.
        let printed = logo.printed().map_err(|_| InvalidLogo::Unreadable)?;
        let blank = blank().map_err(|_| InvalidLogo::Unreadable)?;
        if printed > blank + MAX_LOGO_BYTES_IN_PDF {
            return Err(InvalidLogo::TooLarge);
        }
        Ok(logo)
    }

    /// How large a document with nothing but the logo is.
    fn printed(&self) -> Result<usize, Error> {
        let mut sheet = trial()?;
        self.draw(&mut sheet, "")?;
        size(sheet)
    }

    /// Draws it into the upper corner, and answers its height.
    fn draw(&self, sheet: &mut Sheet, name: &str) -> Result<f32, Error> {
        let (width, height) = self.0.size();
        let (width, height) = (pixels(width), pixels(height));
        let scale = (LOGO.0 / width).min(LOGO.1 / height);
        let size = Size::from_wh(width * scale, height * scale).ok_or(Error::Layout)?;
        sheet.picture(self.0.clone(), name, size, MARGIN * 0.6);
        Ok(height * scale)
    }
}

impl fmt::Debug for Logo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Logo").field(&self.0.size()).finish()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a logo has few pixels")]
fn pixels(count: u32) -> f32 {
    count.max(1) as f32
}

fn trial() -> Result<Sheet, Error> {
    let setter = Setter::new(Faces::get()?);
    Sheet::new(setter, Paper::A4, Direction::LeftToRight, "en")
}

fn blank() -> Result<usize, Error> {
    size(trial()?)
}

fn size(sheet: Sheet) -> Result<usize, Error> {
    let about = About {
        title: "-".to_owned(),
        author: "-".to_owned(),
        date: chrono::NaiveDate::default(),
    };
    Ok(sheet.finish(about)?.bytes.len())
}

/// What is written beside the address: names and values.
pub(crate) type Facts = Vec<(&'static str, String)>;

/// Begins a document: the clinic above, the receiver in the window, the facts beside it, the title
/// below.
pub(crate) fn begin(
    clinic: &Clinic,
    receiver: &Receiver,
    facts: Facts,
    title: &str,
) -> Result<Sheet, Error> {
    let words = clinic.language.words();
    let setter = Setter::new(Faces::get()?);
    let mut sheet = Sheet::new(setter, clinic.paper, words.direction, words.code)?;
    let half = sheet.width() / 2.0;
    let beside = (half + 30.0, half - 30.0);

    sheet.y = MARGIN * 0.6;
    if let Some(logo) = &clinic.logo {
        logo.draw(&mut sheet, &clinic.name)?;
    } else {
        sheet.part(Role::Paragraph, |sheet| {
            sheet.lines(
                &clinic.name,
                Style::bold(15.0),
                (0.0, half + 20.0),
                Align::Start,
                2,
            );
        });
    }
    sheet.y = MARGIN * 0.6;
    let small = Style::regular(8.0);
    if clinic.logo.is_some() {
        paragraphs(
            &mut sheet,
            &clinic.name,
            Style::bold(8.5),
            beside,
            Align::End,
            2,
        );
    }
    for text in [&clinic.address, &clinic.contact] {
        paragraphs(
            &mut sheet,
            text,
            small.in_colour(Colour::Grey),
            beside,
            Align::End,
            5,
        );
    }

    sheet.y = WINDOW;
    let sender = joined(&clinic.name, &clinic.address);
    if !sender.is_empty() {
        sheet.decoration(|sheet| {
            let tiny = Style::regular(6.5).in_colour(Colour::Grey);
            sheet.lines(&sender, tiny, (0.0, half), Align::Start, 1);
            sheet.rule(0.0, 220.0, sheet.y + 1.0, Colour::Pale);
        });
    }
    sheet.y += 5.0;
    let window = (0.0, 235.0);
    paragraphs(
        &mut sheet,
        &receiver.name,
        Style::regular(10.5),
        window,
        Align::Start,
        2,
    );
    let address = if receiver.address.trim().is_empty() {
        &receiver.email
    } else {
        &receiver.address
    };
    paragraphs(
        &mut sheet,
        address,
        Style::regular(10.5),
        window,
        Align::Start,
        6,
    );

    sheet.y = WINDOW + 14.0;
    sheet.part(Role::List, |sheet| {
        for (name, value) in facts {
            sheet.part(Role::Item, |sheet| {
                let y = sheet.y;
                let style = Style::regular(9.0);
                sheet.part(Role::Label, |sheet| {
                    let grey = style.in_colour(Colour::Grey);
                    sheet.lines(name, grey, (beside.0, 95.0), Align::Start, 1);
                });
                sheet.y = y;
                sheet.part(Role::Value, |sheet| {
                    let width = beside.1 - 95.0;
                    sheet.lines(&value, style, (beside.0 + 95.0, width), Align::End, 2);
                });
                sheet.y += 2.0;
            });
        }
    });

    sheet.y = CONTENT;
    sheet.heading(title, |sheet| {
        let width = sheet.width();
        sheet.lines(title, Style::bold(15.0), (0.0, width), Align::Start, 2);
    });
    sheet.y += 6.0;
    Ok(sheet)
}

/// Draws a text of several lines, each as a paragraph.
pub(crate) fn paragraphs(
    sheet: &mut Sheet,
    text: &str,
    style: Style,
    place: (f32, f32),
    align: Align,
    at_most: usize,
) {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    for line in lines.take(at_most) {
        sheet.part(Role::Paragraph, |sheet| {
            sheet.lines(line, style, place, align, 3);
        });
    }
}

/// Writes what is said below a table.
pub(crate) fn ending(sheet: &mut Sheet, texts: &[String]) {
    sheet.y += 14.0;
    for text in texts {
        let width = sheet.width();
        if sheet.room() < 30.0 {
            sheet.break_page();
        }
        paragraphs(
            sheet,
            text,
            Style::regular(9.0),
            (0.0, width),
            Align::Start,
            8,
        );
        sheet.y += 5.0;
    }
}

/// Ends a document: what it is a page of, and the clinic's registration, at the foot of each page.
pub(crate) fn end(
    mut sheet: Sheet,
    clinic: &Clinic,
    title: &str,
    date: chrono::NaiveDate,
) -> Result<crate::Document, Error> {
    let words = clinic.language.words();
    let (_, height) = clinic.paper.points();
    let small = Style::regular(7.0).in_colour(Colour::Grey);
    let foot = joined(&clinic.name, &clinic.registration);
    sheet.on_every_page(|sheet, index, count| {
        let width = sheet.width();
        if index > 0 {
            sheet.y = MARGIN * 0.6;
            sheet.lines(title, small, (0.0, width), Align::Start, 1);
        }
        sheet.rule(0.0, width, height - 48.0, Colour::Pale);
        sheet.y = height - 46.0;
        sheet.lines(&foot, small, (0.0, width - 90.0), Align::Start, 2);
        sheet.y = height - 46.0;
        let page = words.page(index + 1, count);
        sheet.lines(&page, small, (width - 85.0, 85.0), Align::End, 1);
    });
    sheet.finish(About {
        title: title.to_owned(),
        author: clinic.name.clone(),
        date,
    })
}

/// The clinic's name, and several lines, in one.
fn joined(name: &str, text: &str) -> String {
    let lines = std::iter::once(name).chain(text.lines()).map(str::trim);
    let lines = lines.filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, Crc, write::ZlibEncoder};

    use super::*;
    use crate::samples;

    /// A grey PNG picture, either even or of noise.
    fn png(width: u32, height: u32, noise: bool) -> Vec<u8> {
        let mut pixels = Vec::new();
        let mut random: u32 = 1;
        for _ in 0..height {
            pixels.extend([0]);
            for _ in 0..width {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                pixels.push(if noise { random.to_be_bytes()[0] } else { 120 });
            }
        }
        let mut deflated = ZlibEncoder::new(Vec::new(), Compression::default());
        deflated.write_all(&pixels).unwrap();
        let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
        header.extend([8, 0, 0, 0, 0]);
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, content) in [
            (b"IHDR", header),
            (b"IDAT", deflated.finish().unwrap()),
            (b"IEND", Vec::new()),
        ] {
            let mut crc = Crc::new();
            crc.update(kind);
            crc.update(&content);
            png.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
            png.extend(kind);
            png.extend(content);
            png.extend(crc.sum().to_be_bytes());
        }
        png
    }

    #[test]
    fn a_logo_is_a_small_picture() {
        assert!(Logo::read(&png(400, 120, false)).is_ok());
        assert!(Logo::read(include_bytes!("letterhead/small.jpg")).is_ok());
        let cases = [
            (png(MAX_LOGO_PIXELS + 1, 10, false), InvalidLogo::TooLarge),
            (png(200, 100, true), InvalidLogo::TooLarge),
            (vec![0x89; MAX_LOGO_BYTES + 1], InvalidLogo::TooLarge),
            (b"GIF89a".to_vec(), InvalidLogo::Unreadable),
            (b"%PDF-1.7".to_vec(), InvalidLogo::Unreadable),
            (Vec::new(), InvalidLogo::Unreadable),
            (png(400, 120, false)[..40].to_vec(), InvalidLogo::Unreadable),
            (
                png(400, 120, true)[..4000].to_vec(),
                InvalidLogo::Unreadable,
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                Logo::read(&bytes).map(|_| ()),
                Err(expected),
                "{} bytes",
                bytes.len()
            );
        }
    }

    #[test]
    fn documents_have_the_logo_and_the_name_beside_it() {
        let mut clinic = samples::clinic(Language::English);
        clinic.logo = Some(Logo::read(&png(400, 120, false)).unwrap());
        let document = samples::invoice(0, 2).pdf(&clinic).unwrap();
        let page = crate::reading::pages(&document.bytes).remove(0);
        let name = page
            .iter()
            .find(|piece| piece.text == "Praxis am Hafen")
            .unwrap();
        assert!(name.x > 300.0);
        let images = document
            .bytes
            .windows(14)
            .filter(|bytes| bytes == b"/Subtype/Image");
        assert_eq!(images.count(), 1);
    }

    #[test]
    fn every_page_but_the_first_is_without_the_logo_and_it_has_a_name_for_who_cannot_see_it() {
        let mut clinic = samples::clinic(Language::Arabic);
        clinic.logo = Some(Logo::read(include_bytes!("letterhead/small.jpg")).unwrap());
        for (name, shown) in [("Praxis am Hafen", "(Praxis am Hafen)"), ("", "(Logo)")] {
            name.clone_into(&mut clinic.name);
            let document = samples::statement(0, 100).pdf(&clinic).unwrap();
            assert!(document.pages > 2);
            let has = |text: &[u8]| {
                document
                    .bytes
                    .windows(text.len())
                    .filter(|at| *at == text)
                    .count()
            };
            assert_eq!(has(b"/Subtype/Image"), 1);
            assert_eq!(has(format!("/Alt{shown}").as_bytes()), 1, "{shown}");
        }
    }

    #[test]
    fn a_clinic_without_a_name_says_nothing_in_its_place() {
        let mut clinic = samples::clinic(Language::English);
        clinic.name = String::new();
        let text = |clinic: &Clinic| {
            let document = samples::invoice(0, 2).pdf(clinic).unwrap();
            let page = crate::reading::pages(&document.bytes).remove(0);
            crate::reading::lines(&page)
        };
        let lines = text(&clinic);
        assert!(
            lines
                .iter()
                .any(|line| line == "Hafenstraße 7 · 20459 Hamburg"),
            "{lines:#?}"
        );
        clinic.address = String::new();
        clinic.registration = String::new();
        let lines = text(&clinic);
        assert!(
            !lines.iter().any(|line| line.contains("Hafenstraße")),
            "{lines:#?}"
        );
        assert!(
            !lines
                .iter()
                .any(|line| line.trim().is_empty() || line.trim() == "·")
        );
    }

    #[test]
    fn debug_does_not_show_patients() {
        let invoice = samples::invoice(0, 1);
        let shown = format!("{invoice:?} {:?} {:?}", invoice.billed_to, invoice.lines);
        assert!(
            !shown.contains("Zoë") && !shown.contains("Consultation"),
            "{shown}"
        );
    }
}
