//! What messages about appointments and invoices say unless the clinic has written its own. The texts are in
//! `templates/`; that of an e-mail begins with its subject and an empty line.

use crate::{language::Language, notification::Channel, occasion::Occasion};

macro_rules! texts {
    ($language:literal, $occasion:literal) => {
        [
            include_str!(concat!(
                "../templates/",
                $language,
                "/appointment-",
                $occasion,
                ".email.txt"
            )),
            include_str!(concat!(
                "../templates/",
                $language,
                "/appointment-",
                $occasion,
                ".sms.txt"
            )),
        ]
    };
}

/// The subject, which text messages do not have, and the text.
pub(crate) fn built_in(
    occasion: Occasion,
    language: &Language,
    channel: Channel,
) -> Option<(Option<&'static str>, &'static str)> {
    if occasion == Occasion::InvoiceSent {
        let email = match language.code() {
            "en" => include_str!("../templates/en/invoice-sent.email.txt"),
            "de" => include_str!("../templates/de/invoice-sent.email.txt"),
            _ => return None,
        };
        let (subject, text) = email.split_once("\n\n")?;
        return (channel == Channel::Email).then_some((Some(subject), text));
    }
    let [email, sms] = match (language.code(), occasion) {
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
        Channel::Sms => Some((None, sms.trim_end())),
    }
}
