//! A document in a response.

use api::Problem;
use axum::response::{IntoResponse, Response};
use documents::{CONTENT_TYPE, Document, Error};
use http::header;

/// A PDF file
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it describes bytes")]
pub(crate) struct PdfFile(Vec<u8>);

/// The response with a document, which can be shown, and saved under its name.
///
/// # Errors
/// If it could not be made.
pub(crate) fn response(printed: Result<(Document, String), Error>) -> Result<Response, Problem> {
    let (document, name) = printed.map_err(Problem::internal)?;
    tell_of_missing_letters(&document);
    let headers = [
        (header::CONTENT_TYPE, CONTENT_TYPE.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("inline; filename=\"{name}\""),
        ),
    ];
    Ok((headers, document.bytes).into_response())
}

/// Whoever looks after the system can find out which script a font has to be added for. Letters
/// alone do not say whose name they are from.
fn tell_of_missing_letters(document: &Document) {
    if !document.missing.is_empty() {
        let letters: Vec<String> = document.missing.iter().copied().map(code_point).collect();
        tracing::warn!(?letters, "no font has some letters of a document");
    }
}

fn code_point(letter: char) -> String {
    format!("U+{:04X}", u32::from(letter))
}
