//! How a patient wants to be reached: what is stored, what clients send, and what it means for a
//! message.

use api::{InputErrors, Problem, ReadOnly};
use chrono::NaiveTime;
use fields::PhoneNumber;
use identity::Caller;
use patient_access::must_see_if;
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    language::{InvalidLanguage, Language},
    notification::Channel,
    occasion::Occasion,
    quiet_hours::{InvalidQuietHours, QuietHours, written},
};

/// How a patient wants to be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// 0 if nobody has said anything yet: then these are the defaults.
    pub version: i64,
    /// The language of the messages.
    pub language: Language,
    /// The number for text messages, in the form of E.164.
    pub phone: Option<String>,
    /// Whether the patient wants e-mail.
    pub email: bool,
    /// Whether the patient wants text messages.
    pub sms: bool,
    /// What the patient does not want to get on a channel.
    pub opt_outs: Vec<(Occasion, Channel)>,
    /// When no text message may arrive.
    pub quiet_hours: Option<QuietHours>,
}

/// E-mail in English, and no text messages.
impl Default for Preferences {
    fn default() -> Self {
        Self {
            version: 0,
            language: Language::english(),
            phone: None,
            email: true,
            sms: false,
            opt_outs: Vec::new(),
            quiet_hours: None,
        }
    }
}

impl Preferences {
    /// Those of the patient.
    ///
    /// # Errors
    /// If the database does not respond.
    pub async fn of(patient: Uuid, transaction: &mut Transaction) -> Result<Self, sqlx::Error> {
        let stored = sqlx::query!(
            "SELECT version, language, phone, email, sms, quiet_from, quiet_to
             FROM notifications.preference WHERE patient_id = $1",
            patient,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(stored) = stored else {
            return Ok(Self::default());
        };
        let opt_outs = sqlx::query!(
            "SELECT kind, channel FROM notifications.opt_out WHERE patient_id = $1
             ORDER BY kind, channel",
            patient,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let opt_outs = opt_outs
            .iter()
            .filter_map(|row| Some((row.kind.parse().ok()?, row.channel.parse().ok()?)));
        Ok(Self {
            version: stored.version,
            language: stored
                .language
                .parse()
                .unwrap_or_else(|_| Language::english()),
            phone: stored.phone,
            email: stored.email,
            sms: stored.sms,
            opt_outs: opt_outs.collect(),
            quiet_hours: quiet_hours(stored.quiet_from, stored.quiet_to),
        })
    }

    /// Whether the patient is to get such a message on this channel.
    ///
    /// What they `must_be_told` reaches them on every channel that they use, whatever they have
    /// opted out of, and by e-mail if they use none.
    #[must_use]
    pub fn want(&self, occasion: Occasion, channel: Channel, must_be_told: bool) -> bool {
        let takes_sms = self.sms && self.phone.is_some();
        let is_on = match channel {
            Channel::Email => self.email,
            Channel::Sms => takes_sms,
        };
        if must_be_told {
            return is_on || (channel == Channel::Email && !takes_sms);
        }
        is_on && !self.opt_outs.contains(&(occasion, channel))
    }
}

fn quiet_hours(from: Option<NaiveTime>, to: Option<NaiveTime>) -> Option<QuietHours> {
    QuietHours::new(from?, to?).ok()
}

/// Opts a patient out of such messages on a channel, and returns whether that is new. The version
/// changes with it, so that nobody who has read the preferences before undoes it unknowingly.
///
/// # Errors
/// If the database does not respond.
pub async fn opt_out(
    patient: Uuid,
    occasion: Occasion,
    channel: Channel,
    transaction: &mut Transaction,
) -> Result<bool, sqlx::Error> {
    locked_version(patient, transaction).await?;
    let defaults = Preferences::default();
    let added = sqlx::query!(
        "WITH preference AS (
             INSERT INTO notifications.preference (patient_id, version, language, email, sms)
             VALUES ($1, 1, $2, $3, $4)
             ON CONFLICT ON CONSTRAINT preference_pkey DO UPDATE
             SET version = preference.version + 1, updated_at = now()
             WHERE NOT EXISTS (
                 SELECT FROM notifications.opt_out
                 WHERE patient_id = $1 AND kind = $5 AND channel = $6
             )
             RETURNING patient_id
         )
         INSERT INTO notifications.opt_out (patient_id, kind, channel)
         SELECT patient_id, $5, $6 FROM preference",
        patient,
        defaults.language.code(),
        defaults.email,
        defaults.sms,
        occasion.name(),
        channel.name(),
    )
    .execute(&mut *transaction)
    .await?;
    Ok(added.rows_affected() > 0)
}

/// The stored version, or 0. Nobody else changes it until the transaction ends, even if nothing is
/// stored yet.
///
/// # Errors
/// If the database does not respond.
pub(crate) async fn locked_version(
    patient: Uuid,
    transaction: &mut Transaction,
) -> Result<i64, sqlx::Error> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('notifications.preference ' || $1::text, 0))",
        patient.to_string(),
    )
    .fetch_one(&mut *transaction)
    .await?;
    let version = sqlx::query_scalar!(
        "SELECT version FROM notifications.preference WHERE patient_id = $1",
        patient,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    Ok(version.unwrap_or(0))
}

/// Forgets how a patient wanted to be reached, because the patient was erased.
///
/// # Errors
/// If the database does not respond.
pub async fn forget(patient: Uuid, database: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM notifications.unsubscribe_token WHERE patient_id = $1",
        patient,
    )
    .execute(database)
    .await?;
    // What was sent stays on record, without what it said and the address that it was sent to.
    sqlx::query!(
        "UPDATE notifications.message SET recipient = NULL, subject = NULL
         WHERE patient_id = $1 AND (recipient IS NOT NULL OR subject IS NOT NULL)",
        patient,
    )
    .execute(database)
    .await?;
    // What they opted out of goes with it.
    sqlx::query!(
        "DELETE FROM notifications.preference WHERE patient_id = $1",
        patient
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Rejects callers who may not see the patient, and patients who do not exist.
///
/// # Errors
/// 403, 404, or if the database does not respond.
pub(crate) async fn must_exist_and_be_seen(
    caller: Caller,
    patient: Uuid,
    database: impl PgExecutor<'_>,
) -> Result<(), Problem> {
    let restricted: Option<bool> =
        sqlx::query_scalar("SELECT restricted FROM patients.contact_of($1)")
            .bind(patient)
            .fetch_optional(database)
            .await?;
    match restricted {
        Some(restricted) => must_see_if(caller, restricted),
        None => Err(Problem::not_found("Patient not found")),
    }
}

/// Whether a patient wants something on each channel
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE", deny_unknown_fields)]
#[schema(as = WantedChannels)]
pub(crate) struct Channels {
    email: bool,
    sms: bool,
}

impl Channels {
    /// What a patient has opted out of, if this is what they want of these messages.
    fn opt_outs(self, occasion: Occasion) -> impl Iterator<Item = (Occasion, Channel)> {
        let wanted = [(Channel::Email, self.email), (Channel::Sms, self.sms)];
        let unwanted = wanted.into_iter().filter(|(_, wanted)| !wanted);
        unwanted.map(move |(channel, _)| (occasion, channel))
    }
}

/// Which messages a patient wants. A cancellation by the clinic, and an appointment that was moved,
/// are always told
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedKinds)]
pub(crate) struct Kinds {
    /// That an appointment was booked.
    #[serde(rename = "APPOINTMENT_BOOKED")]
    booked: Channels,
    /// That the patient's own cancellation has arrived.
    #[serde(rename = "APPOINTMENT_CANCELLED")]
    cancelled: Channels,
    /// That an appointment is near.
    #[serde(rename = "APPOINTMENT_REMINDER")]
    reminder: Channels,
}

/// When no text message may arrive, in the time zone of the appointment. They may span midnight.
/// Later ones wait for their end
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QuietHours)]
pub(crate) struct QuietHoursInput {
    /// When they begin, `HH:MM`.
    #[schema(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    from: String,
    /// When they end, `HH:MM`.
    #[schema(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    to: String,
}

/// Preferences as a client sends them.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NotificationPreferencesInput, example = json!({
    "language": "en",
    "phone": "+442079460958",
    "channels": { "EMAIL": true, "SMS": true },
    "kinds": {
        "APPOINTMENT_BOOKED": { "EMAIL": true, "SMS": false },
        "APPOINTMENT_CANCELLED": { "EMAIL": true, "SMS": true },
        "APPOINTMENT_REMINDER": { "EMAIL": true, "SMS": true }
    },
    "quietHours": { "from": "21:00", "to": "08:00" }
}))]
pub(crate) struct Input {
    /// The language of the messages: the ISO 639 code in two or three lower-case letters. Where
    /// there is no template in it, they are in English.
    #[schema(pattern = "^[a-z]{2,3}$")]
    language: String,
    /// The number for text messages, with the country's code. It is returned in the form of E.164.
    #[schema(max_length = 40)]
    phone: Option<String>,
    /// On which channels the patient wants to be reached at all. Text messages need a number.
    channels: Channels,
    /// Which messages the patient wants; as before, if it is missing.
    kinds: Option<Kinds>,
    /// When no text message may arrive.
    quiet_hours: Option<QuietHoursInput>,
    #[serde(default, rename = "version")]
    #[schema(read_only, value_type = Option<i64>)]
    _version: ReadOnly,
    #[serde(default, rename = "patientId")]
    #[schema(read_only, value_type = Option<Uuid>)]
    _patient_id: ReadOnly,
}

impl Input {
    /// Whether it says which messages the patient wants.
    pub(crate) const fn names_kinds(&self) -> bool {
        self.kinds.is_some()
    }

    /// What is to be stored in the place of this version.
    pub(crate) fn parse(self) -> Result<Preferences, Problem> {
        let mut errors = InputErrors::default();
        let language: Result<Language, InvalidLanguage> = self.language.parse();
        let language = errors.field("language", language);
        let phone = match self.phone.as_deref() {
            None if self.channels.sms => Err("Phone is required for text messages".to_owned()),
            phone => phone
                .map(PhoneNumber::parse)
                .transpose()
                .map_err(|invalid| invalid.to_string()),
        };
        let phone = errors.field("phone", phone);
        let quiet_hours = errors_of_quiet_hours(self.quiet_hours, &mut errors);
        let (Some(language), Some(phone), Some(quiet_hours)) = (language, phone, quiet_hours)
        else {
            return Err(errors.into_problem());
        };
        let opt_outs = self.kinds.into_iter().flat_map(|kinds| {
            let booked = kinds.booked.opt_outs(Occasion::AppointmentBooked);
            let cancelled = kinds.cancelled.opt_outs(Occasion::AppointmentCancelled);
            let reminder = kinds.reminder.opt_outs(Occasion::AppointmentReminder);
            booked.chain(cancelled).chain(reminder)
        });
        Ok(Preferences {
            version: 0,
            language,
            phone: phone.map(|phone| phone.as_str().to_owned()),
            email: self.channels.email,
            sms: self.channels.sms,
            opt_outs: opt_outs.collect(),
            quiet_hours,
        })
    }
}

/// `None` after noting what is wrong with them.
#[expect(
    clippy::option_option,
    reason = "the inner one is what a patient has said"
)]
fn errors_of_quiet_hours(
    input: Option<QuietHoursInput>,
    errors: &mut InputErrors,
) -> Option<Option<QuietHours>> {
    let Some(QuietHoursInput { from, to }) = input else {
        return Some(None);
    };
    let from = errors.field("quietHours.from", QuietHours::time(&from));
    let to = errors.field("quietHours.to", QuietHours::time(&to));
    let hours: Result<_, InvalidQuietHours> = QuietHours::new(from?, to?);
    errors.field("quietHours.to", hours).map(Some)
}

/// When no text message may arrive
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuietHoursShown)]
pub(crate) struct QuietHoursShown {
    /// When they begin, `HH:MM`.
    from: String,
    /// When they end, `HH:MM`.
    to: String,
}

/// How a patient wants to be reached
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NotificationPreferences, example = json!({
    "patientId": "019bc0fd-8a38-7c35-9b6c-0d2a54f3c1aa",
    "version": 3,
    "language": "en",
    "phone": "+442079460958",
    "channels": { "EMAIL": true, "SMS": true },
    "kinds": {
        "APPOINTMENT_BOOKED": { "EMAIL": true, "SMS": false },
        "APPOINTMENT_CANCELLED": { "EMAIL": true, "SMS": true },
        "APPOINTMENT_REMINDER": { "EMAIL": true, "SMS": true }
    },
    "quietHours": { "from": "21:00", "to": "08:00" }
}))]
pub(crate) struct Shown {
    /// The patient's id.
    patient_id: Uuid,
    /// 0 if nobody has said anything yet: then these are the defaults.
    version: i64,
    /// The language of the messages.
    language: Language,
    /// The number for text messages, in the form of E.164.
    #[schema(required)]
    phone: Option<String>,
    /// On which channels the patient wants to be reached at all.
    channels: Channels,
    /// Which messages the patient wants.
    kinds: Kinds,
    /// When no text message may arrive.
    #[schema(required)]
    quiet_hours: Option<QuietHoursShown>,
}

impl Shown {
    pub(crate) fn new(patient_id: Uuid, preferences: Preferences) -> Self {
        let channels = |occasion| {
            let wants = |channel| !preferences.opt_outs.contains(&(occasion, channel));
            Channels {
                email: wants(Channel::Email),
                sms: wants(Channel::Sms),
            }
        };
        Self {
            patient_id,
            version: preferences.version,
            channels: Channels {
                email: preferences.email,
                sms: preferences.sms,
            },
            kinds: Kinds {
                booked: channels(Occasion::AppointmentBooked),
                cancelled: channels(Occasion::AppointmentCancelled),
                reminder: channels(Occasion::AppointmentReminder),
            },
            quiet_hours: preferences.quiet_hours.map(|hours| QuietHoursShown {
                from: written(hours.from()),
                to: written(hours.to()),
            }),
            language: preferences.language,
            phone: preferences.phone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferences(email: bool, sms: bool, phone: bool) -> Preferences {
        Preferences {
            email,
            sms,
            phone: phone.then(|| "+442079460958".to_owned()),
            opt_outs: vec![
                (Occasion::AppointmentCancelled, Channel::Email),
                (Occasion::AppointmentCancelled, Channel::Sms),
            ],
            ..Preferences::default()
        }
    }

    #[test]
    fn a_patient_gets_what_they_have_not_opted_out_of() {
        let both = preferences(true, true, true);
        for channel in [Channel::Email, Channel::Sms] {
            assert!(both.want(Occasion::AppointmentReminder, channel, false));
            assert!(!both.want(Occasion::AppointmentCancelled, channel, false));
        }
        let default = Preferences::default();
        assert!(default.want(Occasion::AppointmentBooked, Channel::Email, false));
        assert!(!default.want(Occasion::AppointmentBooked, Channel::Sms, false));
    }

    #[test]
    fn what_a_patient_must_be_told_always_reaches_them() {
        for (email, sms, phone, by) in [
            (true, true, true, [true, true]),
            (true, false, true, [true, false]),
            (false, true, true, [false, true]),
            (false, false, true, [true, false]),
            (false, true, false, [true, false]),
            (false, false, false, [true, false]),
        ] {
            let preferences = preferences(email, sms, phone);
            let told = [Channel::Email, Channel::Sms]
                .map(|channel| preferences.want(Occasion::AppointmentCancelled, channel, true));
            assert_eq!(told, by, "{email} {sms} {phone}");
        }
    }
}
