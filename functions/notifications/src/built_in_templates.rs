//! What messages about appointments, invoices and statements say unless the clinic has written its own. The texts are in
//! `templates/`; that of an e-mail begins with its subject and an empty line.

use crate::{language::Language, notification::Channel, occasion::Occasion};

macro_rules! texts {
    ($language:literal, $occasion:literal) => {
        (
            include_str!(concat!(
                "../templates/",
                $language,
                "/appointment-",
                $occasion,
                ".email.txt"
            )),
            Some(include_str!(concat!(
                "../templates/",
                $language,
                "/appointment-",
                $occasion,
                ".sms.txt"
            ))),
        )
    };
}

/// What is sent by e-mail alone.
macro_rules! mail {
    ($language:literal, $occasion:literal) => {
        (
            include_str!(concat!(
                "../templates/",
                $language,
                "/",
                $occasion,
                ".email.txt"
            )),
            None,
        )
    };
}

/// The subject, which text messages do not have, and the text.
pub(crate) fn built_in(
    occasion: Occasion,
    language: &Language,
    channel: Channel,
) -> Option<(Option<&'static str>, &'static str)> {
    let (email, sms) = match (language.code(), occasion) {
        ("en", Occasion::InvoiceSent) => mail!("en", "invoice-sent"),
        ("en", Occasion::StatementSent) => mail!("en", "statement-sent"),
        ("de", Occasion::InvoiceSent) => mail!("de", "invoice-sent"),
        ("de", Occasion::StatementSent) => mail!("de", "statement-sent"),
        ("en", Occasion::AppointmentBooked) => texts!("en", "booked"),
        ("en", Occasion::AppointmentMoved) => texts!("en", "moved"),
        ("en", Occasion::AppointmentCancelled) => texts!("en", "cancelled"),
        ("en", Occasion::AppointmentReminder) => texts!("en", "reminder"),
        ("de", Occasion::AppointmentBooked) => texts!("de", "booked"),
        ("de", Occasion::AppointmentMoved) => texts!("de", "moved"),
        ("de", Occasion::AppointmentCancelled) => texts!("de", "cancelled"),
        ("de", Occasion::AppointmentReminder) => texts!("de", "reminder"),
        _ => return None,
    };
    match channel {
        Channel::Email => {
            let (subject, text) = email.split_once("\n\n")?;
            Some((Some(subject), text))
        }
        Channel::Sms => sms.map(|sms| (None, sms.trim_end())),
    }
}
