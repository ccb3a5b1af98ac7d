//! Invoices and statements as PDF.
//!
//! What a document says is a snapshot ([`Invoice`], [`Statement`]): everything in it was decided when
//! it was issued, amounts are already rounded and dates are the clinic's. Nothing is looked up and
//! nothing is computed here, and the same snapshot makes the same bytes. What does not add up is not
//! printed.
//!
//! The documents are in the clinic's language, in which they may run from right to left, and names
//! are in any of the scripts that the fonts have. They are made for archives and for being read aloud
//! (PDF/A-2a, PDF/UA-1; beyond about 2,000 lines only for archives, PDF/A-2u), with the letters that
//! they use and no more inside.

mod fonts;
mod invoice;
mod letterhead;
#[cfg(any(test, feature = "testing"))]
pub mod reading;
#[cfg(any(test, feature = "testing"))]
pub mod samples;
mod sheet;
mod statement;
mod table;
mod text;
mod words;

pub use invoice::{Invoice, InvoiceLine, Standing, TaxTotal};
pub use letterhead::{
    Clinic, InvalidLogo, Logo, MAX_LOGO_BYTES, MAX_LOGO_BYTES_IN_PDF, MAX_LOGO_PIXELS, Paper,
    Receiver,
};
pub use statement::{Statement, StatementKind, StatementLine};
pub use words::{Language, UnknownLanguage};

/// The media type of the documents.
pub const CONTENT_TYPE: &str = "application/pdf";

/// A document has at most so many lines. 10,000 of them are 300 pages and a megabyte.
pub const MAX_LINES: usize = 10_000;

/// A PDF.
pub struct Document {
    /// What the file consists of.
    pub bytes: Vec<u8>,
    /// How many pages it has.
    pub pages: usize,
    /// Letters that no font has, for which the document shows �. Worth an alarm, since names have
    /// them.
    pub missing: Vec<char>,
}

/// A document cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its amounts do not add up.
    #[error("the amounts of the document do not add up: {0}")]
    DoesNotAddUp(&'static str),
    /// It has more than [`MAX_LINES`] lines.
    #[error("the document has more than {MAX_LINES} lines")]
    TooManyLines,
    /// The fonts in the program are broken.
    #[error("the fonts cannot be read")]
    Fonts,
    /// Something would be drawn outside of any page.
    #[error("the document cannot be laid out")]
    Layout,
    /// What was drawn is not allowed in a PDF for archives.
    #[error("the document is no PDF/A: {0}")]
    Pdf(String),
}
