//! The fonts: what a letter is drawn with.
//!
//! Two fonts have everything. `DejaVu` Sans Condensed, from the crate of that name, has Latin with all of
//! Vietnamese, Greek, Cyrillic, Arabic, Hebrew, Armenian and Georgian, in two weights. Droid Sans
//! Fallback, in `fonts/`, has the Chinese characters of the Basic Multilingual Plane and Japanese
//! kana, in one weight: no crate has a Chinese font without a program around it.

mod slim;

use std::sync::LazyLock;

use harfrust::{FontRef, ShaperData};
use krilla::text::Font;
use skrifa::{MetadataProvider as _, charmap::Charmap};

use crate::Error;

static DROID_SANS_FALLBACK: &[u8] = include_bytes!("../fonts/DroidSansFallbackFull.ttf");

/// How heavy letters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

/// One font, read once.
pub(crate) struct Face {
    /// As the PDF embeds it.
    pub(crate) font: Font,
    /// As it is shaped.
    pub(crate) reference: FontRef<'static>,
    pub(crate) shaping: ShaperData,
    letters: Charmap<'static>,
}

/// All fonts.
pub(crate) struct Faces {
    regular: Face,
    bold: Face,
    han: Face,
}

static FACES: LazyLock<Option<Faces>> = LazyLock::new(Faces::read);

impl Face {
    fn read(bytes: &'static [u8]) -> Option<Self> {
        let reference = FontRef::new(bytes).ok()?;
        Some(Self {
            font: Font::new(bytes.into(), 0)?,
            shaping: ShaperData::new(&reference),
            letters: reference.charmap(),
            reference,
        })
    }

    fn has(&self, letter: char) -> bool {
        self.letters.map(letter).is_some()
    }
}

impl Faces {
    fn read() -> Option<Self> {
        Some(Self {
            // Once in a process.
            regular: Face::read(slim::slim(dejavu::sans_condensed::regular())?.leak())?,
            bold: Face::read(slim::slim(dejavu::sans_condensed::bold())?.leak())?,
            han: Face::read(DROID_SANS_FALLBACK)?,
        })
    }

    /// The fonts, which are read when the first document is made.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(crate) fn get() -> Result<&'static Self, Error> {
        FACES.as_ref().ok_or(Error::Fonts)
    }

    /// What this letter is drawn with, if any font has it.
    pub(crate) fn face_of(&self, letter: char, weight: Weight) -> Option<&Face> {
        let preferred = match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        };
        [preferred, &self.regular, &self.han]
            .into_iter()
            .find(|face| face.has(letter))
    }
}

impl PartialEq for Face {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fonts_have_what_names_are_written_with() {
        let names = "Łukasz Ærø Ștefan İnci Nguyễn Thị Ngọc Ánh Αλέξανδρος Юлия Ґалаґан ‌محمد بن سلمان پژمان \
                     שָׁלוֹם כהן 王小明 歐陽鋒 喆 䶮 さくら サクラ Հայկ გიორგი";
        for weight in [Weight::Regular, Weight::Bold] {
            let faces = Faces::get().unwrap();
            for letter in names.chars() {
                assert!(
                    faces.face_of(letter, weight).is_some(),
                    "{letter} {weight:?}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_drawn_with_a_font_that_lacks_it() {
        let faces = Faces::get().unwrap();
        assert!(faces.face_of('\u{20bb7}', Weight::Regular).is_none());
        assert!(faces.face_of('王', Weight::Bold).unwrap() == &faces.han);
        assert!(faces.face_of('W', Weight::Bold).unwrap() == &faces.bold);
    }
}
