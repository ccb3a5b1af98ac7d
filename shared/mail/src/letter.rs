//! A message with more than a text: an invitation for the calendar, a file, and how to unsubscribe.

use std::io;

use fields::EmailAddress;
use mail_builder::{
    MessageBuilder,
    headers::{content_type::ContentType, raw::Raw},
    mime::{BodyPart, MimePart},
};
use uuid::Uuid;

/// The name of the clinic's appointment in a calendar, and what to do with it.
#[derive(Debug, Clone, Copy)]
pub struct Invitation<'a> {
    /// `REQUEST` or `CANCEL`: the same as in the content.
    pub method: &'a str,
    /// The content, according to RFC 5545.
    pub content: &'a str,
}

/// A PDF file that comes with a message.
#[derive(Clone, Copy)]
pub struct PdfAttachment<'a> {
    /// What it is called: letters, digits, - and . alone.
    pub name: &'a str,
    /// What it consists of.
    pub content: &'a [u8],
}

/// A message to one recipient.
#[derive(Clone, Copy)]
pub struct Letter<'a> {
    /// The address that it is sent to.
    pub recipient: &'a str,
    /// One line.
    pub subject: &'a str,
    /// Plain text.
    pub text: &'a str,
    /// What the recipient's calendar is told.
    pub invitation: Option<Invitation<'a>>,
    /// What the recipient can open and keep.
    pub attachment: Option<PdfAttachment<'a>>,
    /// Where the recipient can unsubscribe with one click (RFC 8058). It has to be short: a header
    /// line has at most 998 octets.
    pub unsubscribe: Option<&'a str>,
}

/// Keeps the recipient out of logs.
impl std::fmt::Debug for Letter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letter").finish_non_exhaustive()
    }
}

impl Letter<'_> {
    /// The message as it is sent. Both addresses are in ASCII: mail programs do not read others.
    pub(crate) fn to_mime(self, from: &str, to: &EmailAddress) -> io::Result<Vec<u8>> {
        let domain = from.rsplit('@').next().unwrap_or_default();
        let mut message = MessageBuilder::new()
            // Of our own, without the name of this machine. SES replaces it.
            .message_id(format!("{}@{domain}", Uuid::now_v7()))
            .from(from)
            .to(to.as_written())
            .subject(self.subject);
        if let Some(url) = self.unsubscribe {
            message = message
                .header("List-Unsubscribe", Raw::new(format!("<{url}>")))
                .header(
                    "List-Unsubscribe-Post",
                    Raw::new("List-Unsubscribe=One-Click"),
                );
        }
        // The line breaks of MIME, also where the text is encoded (RFC 2045, section 6.8).
        let text = MimePart::new("text/plain", self.text.replace('\n', "\r\n"));
        let body = match self.invitation {
            None => text,
            Some(Invitation { method, content }) => {
                // With the method alone, readers lose every letter beyond ASCII.
                let kind = ContentType::new("text/calendar")
                    .attribute("method", method)
                    .attribute("charset", "utf-8");
                let calendar = MimePart::new(kind, content);
                MimePart::new("multipart/alternative", vec![text, calendar])
            }
        };
        let body = match self.attachment {
            None => body,
            Some(PdfAttachment { name, content }) => {
                let file = MimePart::new("application/pdf", BodyPart::from(content));
                MimePart::new("multipart/mixed", vec![body, file.attachment(name)])
            }
        };
        message.body(body).write_to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mime(letter: Letter<'_>) -> String {
        let to = EmailAddress::parse_known(letter.recipient).unwrap();
        String::from_utf8(letter.to_mime("clinic@clinic.example", &to).unwrap()).unwrap()
    }

    const LETTER: Letter<'static> = Letter {
        recipient: "zoe@bücher.example",
        subject: "Your appointment at Klinik Süd",
        text: "Dear Zoë,\n\nüber morgen.\n",
        invitation: None,
        attachment: None,
        unsubscribe: None,
    };

    #[test]
    fn addresses_are_in_ascii_and_no_host_is_named() {
        let mime = mime(LETTER);
        assert!(
            mime.contains("To: <zoe@xn--bcher-kva.example>\r\n"),
            "{mime}"
        );
        assert!(mime.contains("From: <clinic@clinic.example>\r\n"), "{mime}");
        let id = mime.lines().find(|line| line.starts_with("Message-ID:"));
        assert!(id.unwrap().ends_with("@clinic.example>"), "{mime}");
        assert!(mime.contains("Subject: =?utf-8?"), "{mime}");
        assert!(mime.contains("text/plain; charset=\"utf-8\""), "{mime}");
        assert!(!mime.contains("List-Unsubscribe"), "{mime}");
        assert!(mime.is_ascii());
    }

    #[test]
    fn an_invitation_says_its_method_and_its_letters() {
        let mime = mime(Letter {
            invitation: Some(Invitation {
                method: "CANCEL",
                content: "BEGIN:VCALENDAR\r\nLOCATION:Süd\r\nEND:VCALENDAR\r\n",
            }),
            ..LETTER
        });
        let unfolded = mime.replace("\r\n\t", " ").replace("\r\n ", " ");
        let kind = "Content-Type: text/calendar; method=\"CANCEL\"; charset=\"utf-8\"";
        assert!(unfolded.contains(kind), "{mime}");
        assert!(unfolded.contains("multipart/alternative"), "{mime}");
        assert!(mime.lines().all(|line| line.len() <= 998));
    }

    #[test]
    fn a_file_comes_behind_the_text_byte_for_byte() {
        use base64::{Engine as _, prelude::BASE64_STANDARD};

        let content: Vec<u8> = (0..=255).cycle().take(20_000).collect();
        let mime = mime(Letter {
            attachment: Some(PdfAttachment {
                name: "2026-000017.pdf",
                content: &content,
            }),
            ..LETTER
        });
        let (text, file) = mime.split_once("Content-Type: application/pdf").unwrap();
        assert!(text.contains("multipart/mixed"), "{text}");
        assert!(text.contains("text/plain; charset=\"utf-8\""), "{text}");
        let (head, body) = file.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n\t", " ").replace("\r\n ", " ");
        assert!(head.contains("Content-Disposition: attachment;"), "{head}");
        assert!(head.contains("filename=\"2026-000017.pdf\""), "{head}");
        assert!(head.contains("Content-Transfer-Encoding: base64"), "{head}");
        let encoded: String = body
            .lines()
            .take_while(|line| !line.starts_with("--"))
            .collect();
        assert_eq!(BASE64_STANDARD.decode(encoded).unwrap(), content);
        assert!(mime.is_ascii() && mime.lines().all(|line| line.len() <= 78));
    }

    #[test]
    fn one_click_unsubscribes() {
        let url = "https://api.clinic.example/v1/unsubscribe/abcdefghijklmnopqrstuv";
        let mime = mime(Letter {
            unsubscribe: Some(url),
            ..LETTER
        });
        assert!(
            mime.replace("\r\n", "")
                .contains(&format!("List-Unsubscribe: <{url}>")),
            "{mime}"
        );
        assert!(
            mime.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"),
            "{mime}"
        );
    }
}
