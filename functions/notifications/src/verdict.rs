//! Whether a message that is due is sent, as things are now.

use chrono::{DateTime, NaiveDateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;
use zones::Zone;

use crate::{
    notification::Channel, occasion::Occasion, preferences::Preferences, suppression::Suppression,
};

/// A message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueMessage {
    /// Its id.
    pub id: Uuid,
    /// Whom it is for.
    pub patient_id: Uuid,
    /// What it is about; none if it is sent with a document.
    pub appointment_id: Option<Uuid>,
    /// The occasion.
    pub occasion: Occasion,
    /// How it is sent.
    pub channel: Channel,
    /// The sequence of the appointment that it is about.
    pub sequence: i32,
    /// Whether the patient must be told.
    pub must_be_told: bool,
    /// Whether the patient has cancelled the appointment.
    pub by_patient: bool,
}

/// An appointment as it is now, from the service that owns it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct AppointmentNow {
    /// Its state, such as `BOOKED`.
    pub status: String,
    /// How often it was moved or cancelled.
    pub sequence: i32,
    /// When it starts.
    pub starts_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// The name of the time zone there.
    pub time_zone: String,
    /// What the clocks show there at the start.
    pub local_start: NaiveDateTime,
    /// The name of the place.
    pub location_name: String,
    /// By which the patient confirms or cancels it.
    pub link_token: Option<Uuid>,
}

/// What becomes of a message now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent.
    Send,
    /// It is not sent, now or later.
    Suppress(Suppression),
    /// It is looked at again then.
    Postpone(DateTime<Utc>),
}

/// What becomes of a message about an appointment as it is now, to a patient with these
/// preferences.
#[must_use]
pub fn verdict(
    message: &DueMessage,
    appointment: &AppointmentNow,
    preferences: &Preferences,
    now: DateTime<Utc>,
) -> Verdict {
    if appointment.sequence != message.sequence {
        return Verdict::Suppress(Suppression::Superseded);
    }
    let is_cancelled = appointment.status == "CANCELLED";
    match (message.occasion, &*appointment.status) {
        (Occasion::AppointmentCancelled, _) if !is_cancelled => {
            return Verdict::Suppress(Suppression::Superseded);
        }
        (Occasion::AppointmentCancelled, _) | (_, "BOOKED") => {}
        _ if is_cancelled => return Verdict::Suppress(Suppression::Cancelled),
        _ => return Verdict::Suppress(Suppression::NoLongerNeeded),
    }
    if appointment.starts_at <= now {
        return Verdict::Suppress(Suppression::AlreadyStarted);
    }
    if !preferences.want(message.occasion, message.channel, message.must_be_told) {
        return Verdict::Suppress(Suppression::NotWanted);
    }
    match (message.channel, preferences.quiet_hours) {
        (Channel::Sms, Some(quiet)) => {
            let zone = Zone::named(&appointment.time_zone).unwrap_or_else(|_| Zone::utc());
            match quiet.end(now, &zone) {
                None => Verdict::Send,
                Some(end) if end < appointment.starts_at => Verdict::Postpone(end),
                // Too late otherwise.
                Some(_) if message.must_be_told => Verdict::Send,
                Some(_) => Verdict::Suppress(Suppression::QuietHours),
            }
        }
        _ => Verdict::Send,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quiet_hours::QuietHours;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    const REMINDER: DueMessage = DueMessage {
        id: Uuid::nil(),
        patient_id: Uuid::nil(),
        appointment_id: Some(Uuid::nil()),
        occasion: Occasion::AppointmentReminder,
        channel: Channel::Sms,
        sequence: 1,
        must_be_told: false,
        by_patient: false,
    };

    fn appointment() -> AppointmentNow {
        AppointmentNow {
            status: "BOOKED".to_owned(),
            sequence: 1,
            starts_at: at("2026-06-02T08:00:00Z"),
            ends_at: at("2026-06-02T08:30:00Z"),
            time_zone: "Europe/London".to_owned(),
            local_start: at("2026-06-02T09:00:00Z").naive_utc(),
            location_name: "Main building".to_owned(),
            link_token: None,
        }
    }

    fn preferences() -> Preferences {
        let time = |text| QuietHours::time(text).unwrap();
        Preferences {
            sms: true,
            phone: Some("+442079460958".to_owned()),
            quiet_hours: Some(QuietHours::new(time("21:00"), time("08:00")).unwrap()),
            ..Preferences::default()
        }
    }

    fn of(message: &DueMessage, appointment: &AppointmentNow, now: &str) -> Verdict {
        verdict(message, appointment, &preferences(), at(now))
    }

    const EVENING: &str = "2026-06-01T18:00:00Z";

    #[test]
    fn the_appointment_has_to_be_as_the_message_says() {
        let cancelled_message = DueMessage {
            occasion: Occasion::AppointmentCancelled,
            ..REMINDER
        };
        let suppressed = |why| Verdict::Suppress(why);
        for (message, status, sequence, expected) in [
            (REMINDER, "BOOKED", 1, Verdict::Send),
            (REMINDER, "BOOKED", 2, suppressed(Suppression::Superseded)),
            (REMINDER, "CANCELLED", 1, suppressed(Suppression::Cancelled)),
            (
                REMINDER,
                "ARRIVED",
                1,
                suppressed(Suppression::NoLongerNeeded),
            ),
            (
                REMINDER,
                "NO_SHOW",
                1,
                suppressed(Suppression::NoLongerNeeded),
            ),
            (cancelled_message, "CANCELLED", 1, Verdict::Send),
            (
                cancelled_message,
                "BOOKED",
                1,
                suppressed(Suppression::Superseded),
            ),
        ] {
            let appointment = AppointmentNow {
                status: status.to_owned(),
                sequence,
                ..appointment()
            };
            assert_eq!(
                of(&message, &appointment, EVENING),
                expected,
                "{status} {sequence}"
            );
        }
    }

    #[test]
    fn nothing_is_sent_after_the_start() {
        let verdict = of(&REMINDER, &appointment(), "2026-06-02T08:00:00Z");
        assert_eq!(verdict, Verdict::Suppress(Suppression::AlreadyStarted));
    }

    #[test]
    fn text_messages_wait_for_the_end_of_the_quiet_hours() {
        let night = "2026-06-01T21:00:00Z";
        let end = Verdict::Postpone(at("2026-06-02T07:00:00Z"));
        assert_eq!(of(&REMINDER, &appointment(), night), end);
        let by_mail = DueMessage {
            channel: Channel::Email,
            ..REMINDER
        };
        assert_eq!(of(&by_mail, &appointment(), night), Verdict::Send);

        let early = AppointmentNow {
            starts_at: at("2026-06-02T06:30:00Z"),
            ..appointment()
        };
        let too_late = Verdict::Suppress(Suppression::QuietHours);
        assert_eq!(of(&REMINDER, &early, night), too_late);
        let must_be_told = DueMessage {
            must_be_told: true,
            ..REMINDER
        };
        assert_eq!(of(&must_be_told, &early, night), Verdict::Send);
        assert_eq!(of(&must_be_told, &appointment(), night), end);
    }
}
