//! The mail that the local stack has sent: to nobody, but kept by LocalStack.

use std::io::Write as _;

use anyhow::{Result, anyhow};
use console::{Term, style};
use local_stack::readiness;
use local_stack::stack_file::StackFile;
use mail_parser::{Address, MessageParser, MimeHeaders as _};
use serde::Deserialize;

#[derive(Deserialize)]
struct Mailbox {
    messages: Vec<Message>,
}

/// A message as LocalStack keeps it: in parts, or as it was sent, if it was sent as a whole.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    timestamp: String,
    #[serde(default)]
    raw_data: Option<String>,
    #[serde(default)]
    destination: Destination,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    body: Body,
    /// The names of the files that come with it.
    #[serde(skip)]
    files: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    #[serde(default)]
    to_addresses: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Body {
    text_part: Option<String>,
}

impl Message {
    /// In parts, however it was sent.
    fn in_parts(self) -> Self {
        let Some(raw) = &self.raw_data else {
            return self;
        };
        let Some(mail) = MessageParser::default().parse(raw) else {
            return self;
        };
        let files = mail.attachments().filter_map(|part| part.attachment_name());
        let recipients = mail.to().into_iter().flat_map(Address::iter);
        let recipients = recipients.filter_map(|to| to.address().map(ToOwned::to_owned));
        Self {
            destination: Destination {
                to_addresses: recipients.collect(),
            },
            subject: mail.subject().unwrap_or_default().to_owned(),
            body: Body {
                text_part: mail.body_text(0).map(Into::into),
            },
            files: files.map(ToOwned::to_owned).collect(),
            timestamp: self.timestamp,
            raw_data: None,
        }
    }

    fn is_to(&self, address: &str) -> bool {
        let mut recipients = self.destination.to_addresses.iter();
        recipients.any(|to| to.eq_ignore_ascii_case(address))
    }
}

/// Shows the messages to this address, the oldest first; without one, who has got which.
pub(crate) fn show(stack: &StackFile, to: Option<&str>) -> Result<()> {
    let url = format!("{}/_aws/ses", stack.localstack_url);
    let mailbox = readiness::get_json(&url).map_err(|reason| anyhow!(reason))?;
    let Mailbox { messages } = serde_json::from_value(mailbox)?;
    let messages: Vec<Message> = messages.into_iter().map(Message::in_parts).collect();
    let mut terminal = Term::stdout();
    let Some(to) = to else {
        for message in &messages {
            let recipients = message.destination.to_addresses.join(", ");
            writeln!(
                terminal,
                "{}  {recipients}  {}",
                message.timestamp, message.subject
            )?;
        }
        return Ok(Term::stderr().write_line(match messages.len() {
            0 => "There is no mail yet.",
            _ => "`make mail TO=address` shows the messages to somebody.",
        })?);
    };
    let theirs: Vec<_> = messages
        .iter()
        .filter(|message| message.is_to(to))
        .collect();
    for message in &theirs {
        let subject = style(&message.subject).bold();
        writeln!(terminal, "{}  {subject}\n", message.timestamp)?;
        writeln!(
            terminal,
            "{}\n",
            message.body.text_part.as_deref().unwrap_or_default()
        )?;
        for file in &message.files {
            writeln!(terminal, "With the file {file}\n")?;
        }
    }
    if theirs.is_empty() {
        Term::stderr().write_line(&format!(
            "There is no mail to {to}. Messages to users are sent within a minute; `make mail` shows all."
        ))?;
    }
    Ok(())
}
