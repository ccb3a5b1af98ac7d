//! `send-due-messages`, every minute: sends messages about appointments that are due,
//! invoices and statements.
//!
//! A message is taken under a lease, so that several runs may send at the same time, and one that
//! was interrupted is taken up again. Before anything is sent, the truth is read again: the
//! appointment, or the document that is to be sent, from the service that owns it, the patient, and
//! what the patient wants. [`verdict`] says what becomes of the message. A failure concerns its own
//! message only.
//!
//! Neither SES nor SNS can be asked whether it has sent something. If a run dies after one of them
//! has accepted a message and before `SENT` is written, the message is sent a second time: better
//! twice than never.
//!
//! [`verdict`]: mod@crate::verdict

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable as _};
use chrono::{DateTime, NaiveDate, Utc};
use lambda_runtime::{Diagnostic, LambdaEvent};
use mail::{Invitation, Letter, MailError, Mailer, PATIENCE, PdfAttachment};
use next_run::{NextRun, end_of_run};
use serde::{Serialize, de::IgnoredAny};
use sqlx::{FromRow, PgPool, postgres::types::PgInterval};
use store::{Transaction, service_fn};
use telemetry::{Metrics, Unit};
use uuid::Uuid;

use crate::{
    calendar::{Event, Method},
    language::Language,
    message::Clinic,
    notification::{Channel, FailureReason},
    occasion::Occasion,
    preferences::Preferences,
    public_url::PublicUrl,
    schedule_messages::forget_old_marks,
    suppression::{Suppression, is_suppressed},
    template::{Template, Values},
    text_message::{TextError, TextMessages},
    unsubscribe_token::token_of,
    verdict::{AppointmentNow, DueMessage, Verdict, verdict},
};

/// How long before its timeout the function stops starting messages: the last one may take the mail
/// service some seconds, and the outcome has to be written to the database.
const RESERVE: Duration = Duration::from_secs(15);

/// How long a run holds a message: far longer than sending takes.
const LEASE: Duration = PATIENCE.saturating_mul(12);

/// A run leaves a channel alone after this many failures in a row: its service is down.
const MAX_FAILURES: u32 = 3;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Messages that were accepted.
    pub sent: u32,
    /// Messages that are not sent: nobody needs, wants or can get them.
    pub suppressed: u32,
    /// Messages that wait for the end of quiet hours.
    pub postponed: u32,
    /// Messages that were finally rejected.
    pub refused: u32,
    /// Messages that will be retried later.
    pub failed: u32,
    /// Whether the run stopped because its time was up, so that some may be left.
    pub unfinished: bool,
}

/// Sends messages about appointments.
#[derive(Debug)]
pub struct Sender {
    /// Where the messages are stored.
    pub database: PgPool,
    /// Sends e-mail.
    pub mailer: Mailer,
    /// Sends text messages.
    pub text_messages: TextMessages,
    /// In whose name.
    pub clinic: Clinic,
    /// Where links lead.
    pub public_url: PublicUrl,
}

/// Why a message could not be sent now.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Mail(MailError),
    #[error(transparent)]
    Text(TextError),
}

/// What came of a message.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Sent,
    Suppressed,
    Postponed,
    Refused,
}

/// Serves as the Lambda function until Lambda stops it.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn serve(sender: Sender, next: NextRun) -> Result<(), lambda_runtime::Error> {
    let (sender, next) = (&sender, &next);
    lambda_runtime::run(service_fn(|event: LambdaEvent<IgnoredAny>| async move {
        let until = end_of_run(&event.context, RESERVE);
        match Box::pin(sender.run(until)).await {
            Ok((report, overdue)) => {
                if report.unfinished {
                    next.begin().await;
                }
                tracing::info!(?report, overdue, "sent messages about appointments");
                Metrics::of_function("send-due-messages")
                    .metric("RefusedMessages", Unit::Count, f64::from(report.refused))
                    .metric("OverdueMessages", Unit::Count, f64::from(overdue))
                    .property("message", "messages about appointments")
                    .emit();
                Ok(report)
            }
            Err(error) => {
                tracing::error!(cause = %error, "messages about appointments were not sent");
                Err(Diagnostic {
                    error_type: "SendError".to_owned(),
                    error_message: error.to_string(),
                })
            }
        }
    }))
    .await
}

impl Sender {
    async fn run(&self, until: Instant) -> Result<(Report, u32), sqlx::Error> {
        forget_old_marks(&self.database).await?;
        let report = self.send_due(until).await?;
        Ok((report, self.count_overdue().await?))
    }

    /// Sends what is due, and starts no message after `until`. Several runs may do so at the same
    /// time.
    ///
    /// # Errors
    /// If no message can be taken. Messages sent before that are not sent again.
    pub async fn send_due(&self, until: Instant) -> Result<Report, sqlx::Error> {
        let mut report = Report::default();
        let mut failures_in_a_row: HashMap<Channel, u32> = HashMap::new();
        let mut is_down: Vec<String> = Vec::new();
        loop {
            if Instant::now() >= until {
                report.unfinished = true;
                break;
            }
            let Some(message) = self.take(&is_down).await? else {
                break;
            };
            match Box::pin(self.handle(&message)).await {
                Ok(outcome) => {
                    failures_in_a_row.remove(&message.channel);
                    *report.count_of(outcome) += 1;
                }
                Err(failure) => {
                    tracing::warn!(
                        messageId = %message.id,
                        appointmentId = message.appointment_id.map(tracing::field::display),
                        kind = message.occasion.name(), cause = %failure,
                        "a message could not be sent yet"
                    );
                    report.failed += 1;
                    // If this fails too, the lease expires by itself.
                    let _ = self.put_off(message.id).await;
                    let failures = failures_in_a_row.entry(message.channel).or_default();
                    *failures += 1;
                    if *failures == MAX_FAILURES {
                        is_down.push(message.channel.name().to_owned());
                    }
                }
            }
        }
        Ok(report)
    }

    /// The message that has been due the longest; what patients must be told comes first. None for
    /// a channel that is down.
    async fn take(&self, is_down: &[String]) -> Result<Option<DueMessage>, sqlx::Error> {
        loop {
            let taken = sqlx::query!(
                "UPDATE notifications.message
                 SET next_attempt_at = now() + $1::interval, attempts = attempts + 1
                 WHERE id = (
                     SELECT id FROM notifications.message
                     WHERE state = 'PENDING' AND next_attempt_at <= now() AND channel <> ALL($2)
                     ORDER BY must_be_told DESC, next_attempt_at
                     LIMIT 1
                     FOR UPDATE SKIP LOCKED
                 )
                 RETURNING id, patient_id, appointment_id, kind, channel, sequence, must_be_told,
                           by_patient",
                interval(LEASE),
                is_down,
            )
            .fetch_optional(&self.database)
            .await?;
            let Some(taken) = taken else {
                return Ok(None);
            };
            let (Ok(occasion), Ok(channel)) = (taken.kind.parse(), taken.channel.parse()) else {
                // A later version of this function has written it.
                continue;
            };
            return Ok(Some(DueMessage {
                id: taken.id,
                patient_id: taken.patient_id,
                appointment_id: taken.appointment_id,
                occasion,
                channel,
                sequence: taken.sequence,
                must_be_told: taken.must_be_told,
                by_patient: taken.by_patient,
            }));
        }
    }

    async fn handle(&self, message: &DueMessage) -> Result<Outcome, Failure> {
        match self.prepare(message).await? {
            Prepared::Ready(ready) => self.send(message, &ready).await,
            Prepared::Not(Suppressed(why)) => {
                self.suppress(message.id, why).await?;
                Ok(Outcome::Suppressed)
            }
            Prepared::Later(end) => {
                self.postpone(message.id, end).await?;
                Ok(Outcome::Postponed)
            }
            Prepared::Broken => {
                self.refused(message.id, FailureReason::InvalidMessage)
                    .await?;
                Ok(Outcome::Refused)
            }
        }
    }

    /// Reads the truth again, and writes the message accordingly.
    async fn prepare(&self, message: &DueMessage) -> Result<Prepared, Failure> {
        let mut transaction = Transaction::begin(&self.database).await?;
        // What it is about is read after the address: if two records are parted between the two, the
        // address may still be that of both, and the statement of both is gone.
        let contact = contact_of(message.patient_id, &mut transaction).await?;
        let about = match About::read(message, &mut transaction).await? {
            Ok(about) => about,
            Err(gone) => return Ok(gone.into()),
        };
        let Some(contact) = contact else {
            return Ok(Suppression::PatientGone.into());
        };
        if contact.restricted && !message.must_be_told {
            return Ok(Suppression::Restricted.into());
        }
        if is_superseded(message, &mut transaction).await? {
            return Ok(Suppression::Superseded.into());
        }
        let patient = present_id(message.patient_id, &mut transaction).await?;
        let preferences = Preferences::of(patient, &mut transaction).await?;
        let verdict = match &about {
            About::Appointment(appointment) => {
                verdict(message, appointment, &preferences, Utc::now())
            }
            About::Document(_) if preferences.want(message.occasion, message.channel, false) => {
                Verdict::Send
            }
            About::Document(_) => Verdict::Suppress(Suppression::NotWanted),
        };
        match verdict {
            Verdict::Send => {}
            Verdict::Suppress(why) => return Ok(why.into()),
            Verdict::Postpone(end) => return Ok(Prepared::Later(end)),
        }
        let recipient = match recipient(message.channel, &contact, &preferences) {
            Ok(recipient) => recipient,
            Err(why) => return Ok(why.into()),
        };
        if is_suppressed(&recipient, message.must_be_told, &mut transaction).await? {
            return Ok(Suppression::AddressSuppressed.into());
        }
        let unsubscribe = self.unsubscribe(patient, message, &mut transaction).await?;
        let (template, language) =
            template(message, &preferences.language, &mut transaction).await?;
        // The token has to be there before the message is.
        transaction.commit().await?;

        let values = Values {
            name: &contact.name,
            clinic: self.clinic.name(),
            unsubscribe: unsubscribe.as_deref().unwrap_or_default(),
            by_patient: message.by_patient,
            ..Values::default()
        };
        let link;
        let values = match &about {
            About::Appointment(appointment) => {
                link = self.link(message.occasion, appointment);
                Values {
                    location: &appointment.location_name,
                    local_start: appointment.local_start,
                    zone: &appointment.time_zone,
                    link: link.as_deref().unwrap_or_default(),
                    ..values
                }
            }
            About::Document(document) => match &document.subject {
                DocumentSubject::Invoice(number) => Values { number, ..values },
                DocumentSubject::Statement(from, to) => Values {
                    period: (*from, *to),
                    ..values
                },
            },
        };
        let Some(Ok(rendered)) = template.map(|template| template.render(&values, &language))
        else {
            tracing::error!(messageId = %message.id, "the template of a message cannot be rendered");
            return Ok(Prepared::Broken);
        };
        let calendar = match (&about, message.appointment_id) {
            (About::Appointment(appointment), Some(id)) => {
                let event = self.calendar(message, (id, appointment), &recipient, &language);
                Some(event)
            }
            _ => None,
        };
        Ok(Prepared::Ready(Ready {
            recipient,
            subject: rendered.subject.unwrap_or_default(),
            text: rendered.text,
            calendar,
            document: match about {
                About::Document(document) => Some(document),
                About::Appointment(_) => None,
            },
            unsubscribe,
        }))
    }

    /// Where the patient opts out of such messages, if that is possible.
    async fn unsubscribe(
        &self,
        patient: Uuid,
        message: &DueMessage,
        transaction: &mut Transaction,
    ) -> Result<Option<String>, sqlx::Error> {
        let (channel, occasion) = (message.channel, message.occasion);
        if message.must_be_told || channel == Channel::Sms || !occasion.is_optional() {
            return Ok(None);
        }
        let token = token_of(patient, occasion, channel, transaction).await?;
        Ok(self.public_url.of(&format!("/unsubscribe/{token}")))
    }

    /// Where the patient confirms or cancels the appointment.
    fn link(&self, occasion: Occasion, appointment: &AppointmentNow) -> Option<String> {
        let token = appointment
            .link_token
            .filter(|_| occasion != Occasion::AppointmentCancelled)?;
        self.public_url.of(&format!("/appointment-links/{token}"))
    }

    fn calendar(
        &self,
        message: &DueMessage,
        (id, appointment): (Uuid, &AppointmentNow),
        recipient: &str,
        language: &Language,
    ) -> (Method, String) {
        let method = match message.occasion {
            Occasion::AppointmentCancelled => Method::Cancel,
            _ => Method::Request,
        };
        let event = Event {
            method,
            appointment: id,
            sequence: appointment.sequence,
            starts_at: appointment.starts_at,
            ends_at: appointment.ends_at,
            summary: match language.code() {
                "de" => "Termin",
                _ => "Appointment",
            },
            location: &format!("{}, {}", appointment.location_name, self.clinic.name()),
            organizer: self.mailer.sender(),
            attendee: recipient,
        };
        (method, event.to_file(Utc::now()))
    }

    async fn send(&self, message: &DueMessage, ready: &Ready) -> Result<Outcome, Failure> {
        let sent = match message.channel {
            Channel::Email => {
                let calendar = ready.calendar.as_ref();
                let document = ready.document.as_ref();
                let letter = Letter {
                    recipient: &ready.recipient,
                    subject: &ready.subject,
                    text: &ready.text,
                    invitation: calendar.map(|(method, content)| Invitation {
                        method: method.name(),
                        content,
                    }),
                    attachment: document.map(|document| PdfAttachment {
                        name: &document.file_name,
                        content: &document.content,
                    }),
                    unsubscribe: ready.unsubscribe.as_deref(),
                };
                match self.mailer.send_letter(letter).await {
                    Ok(id) => Ok(id),
                    Err(MailError::Refused(reason)) => Err(reason.into()),
                    Err(unavailable) => return Err(Failure::Mail(unavailable)),
                }
            }
            Channel::Sms => match self.text_messages.send(&ready.recipient, &ready.text).await {
                Ok(id) => Ok(id),
                Err(TextError::Refused) => Err(FailureReason::InvalidRecipient),
                Err(unavailable) => return Err(Failure::Text(unavailable)),
            },
        };
        match sent {
            Ok(provider_id) => {
                self.sent(message.id, ready, &provider_id).await?;
                tracing::info!(
                    messageId = %message.id,
                    appointmentId = message.appointment_id.map(tracing::field::display),
                    patientId = %message.patient_id, kind = message.occasion.name(),
                    channel = message.channel.name(), "sent a message"
                );
                Ok(Outcome::Sent)
            }
            Err(reason) => {
                tracing::warn!(messageId = %message.id, ?reason, "a message was rejected");
                self.refused(message.id, reason).await?;
                Ok(Outcome::Refused)
            }
        }
    }

    /// Tries harder than usual to record it, because otherwise a second message follows.
    async fn sent(&self, id: Uuid, ready: &Ready, provider_id: &str) -> Result<(), sqlx::Error> {
        let sent_at = Utc::now();
        let attempts = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(100))
            .with_max_times(3);
        let write = || async {
            sqlx::query!(
                "UPDATE notifications.message
                 SET state = 'SENT', reason = NULL, sent_at = $2, recipient = $3, subject = $4,
                     provider_id = $5
                 WHERE id = $1 AND state = 'PENDING'",
                id,
                sent_at,
                ready.recipient,
                ready.subject,
                provider_id,
            )
            .execute(&self.database)
            .await
        };
        write.retry(attempts).await?;
        Ok(())
    }

    async fn suppress(&self, id: Uuid, why: Suppression) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE notifications.message SET state = 'SUPPRESSED', reason = $2
             WHERE id = $1 AND state = 'PENDING'",
            id,
            why.name(),
        )
        .execute(&self.database)
        .await?;
        Ok(())
    }

    async fn refused(&self, id: Uuid, why: FailureReason) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE notifications.message SET state = 'FAILED', reason = $2
             WHERE id = $1 AND state = 'PENDING'",
            id,
            why.name(),
        )
        .execute(&self.database)
        .await?;
        Ok(())
    }

    async fn postpone(&self, id: Uuid, end: DateTime<Utc>) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE notifications.message SET due_at = $2, next_attempt_at = $2
             WHERE id = $1 AND state = 'PENDING'",
            id,
            end,
        )
        .execute(&self.database)
        .await?;
        Ok(())
    }

    /// Doubles the delay with each attempt, up to ten minutes: a reminder must not wait for long.
    async fn put_off(&self, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE notifications.message
             SET next_attempt_at = now()
                 + least(interval '30 seconds' * power(2, least(attempts, 10)), interval '10 minutes')
             WHERE id = $1 AND state = 'PENDING'",
            id,
        )
        .execute(&self.database)
        .await?;
        Ok(())
    }

    /// How many messages have been waiting long enough to raise an alarm.
    async fn count_overdue(&self) -> Result<u32, sqlx::Error> {
        let overdue = sqlx::query_scalar!(
            r#"SELECT count(*) AS "overdue!" FROM notifications.message
               WHERE state = 'PENDING' AND due_at < now() - interval '15 minutes'
                 AND created_at < now() - interval '15 minutes'"#,
        )
        .fetch_one(&self.database)
        .await?;
        Ok(u32::try_from(overdue).unwrap_or(u32::MAX))
    }
}

impl Report {
    const fn count_of(&mut self, outcome: Outcome) -> &mut u32 {
        match outcome {
            Outcome::Sent => &mut self.sent,
            Outcome::Suppressed => &mut self.suppressed,
            Outcome::Postponed => &mut self.postponed,
            Outcome::Refused => &mut self.refused,
        }
    }
}

/// A message as it is to be sent now.
struct Ready {
    recipient: String,
    subject: String,
    text: String,
    calendar: Option<(Method, String)>,
    document: Option<Document>,
    unsubscribe: Option<String>,
}

/// What a message is about, as the service that owns it knows it now.
enum About {
    Appointment(AppointmentNow),
    Document(Document),
}

/// A file that is to be sent.
struct Document {
    subject: DocumentSubject,
    file_name: String,
    /// The PDF.
    content: Vec<u8>,
}

/// What a message says of the file with it.
enum DocumentSubject {
    /// An invoice of this number.
    Invoice(String),
    /// A statement from one day to another.
    Statement(NaiveDate, NaiveDate),
}

impl About {
    async fn read(
        message: &DueMessage,
        transaction: &mut Transaction,
    ) -> Result<Result<Self, Suppression>, sqlx::Error> {
        Ok(if let Some(appointment) = message.appointment_id {
            let now = appointment_now(appointment, transaction).await?;
            now.map(Self::Appointment)
                .ok_or(Suppression::AppointmentGone)
        } else {
            // It was taken back, or has waited for too long.
            let document = match message.occasion {
                Occasion::StatementSent => statement_of(message.id, transaction).await?,
                _ => document_of(message.id, transaction).await?,
            };
            document
                .map(Self::Document)
                .ok_or(Suppression::NoLongerNeeded)
        })
    }
}

enum Prepared {
    Ready(Ready),
    Not(Suppressed),
    Later(DateTime<Utc>),
    /// Its template cannot be rendered.
    Broken,
}

struct Suppressed(Suppression);

impl From<Suppression> for Prepared {
    fn from(why: Suppression) -> Self {
        Self::Not(Suppressed(why))
    }
}

/// A patient, as the patients service knows them.
#[derive(FromRow)]
struct Contact {
    name: String,
    email: Option<String>,
    /// Only what they must be told is sent: somebody else may read it.
    restricted: bool,
}

/// Whether a later reminder of the same appointment is due as well: after an outage, one is enough.
async fn is_superseded(
    message: &DueMessage,
    transaction: &mut Transaction,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM notifications.message AS reminder
               JOIN notifications.message AS later USING (appointment_id, kind, channel, sequence)
               WHERE reminder.id = $1 AND reminder.kind = 'APPOINTMENT_REMINDER'
                   AND later.offset_minutes < reminder.offset_minutes
                   AND later.state = 'PENDING' AND later.due_at <= now()
           ) AS "superseded!""#,
        message.id,
    )
    .fetch_one(transaction)
    .await
}

async fn appointment_now(
    appointment: Uuid,
    transaction: &mut Transaction,
) -> Result<Option<AppointmentNow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT status, sequence, starts_at, ends_at, time_zone, local_start, location_name,
                link_token
         FROM appointments.for_message($1)",
    )
    .bind(appointment)
    .fetch_optional(transaction)
    .await
}

async fn document_of(
    message: Uuid,
    transaction: &mut Transaction,
) -> Result<Option<Document>, sqlx::Error> {
    let found: Option<(String, String, Vec<u8>)> =
        sqlx::query_as("SELECT number, file_name, content FROM billing.document_of($1)")
            .bind(message)
            .fetch_optional(transaction)
            .await?;
    Ok(found.map(|(number, file_name, content)| Document {
        subject: DocumentSubject::Invoice(number),
        file_name,
        content,
    }))
}

async fn statement_of(
    message: Uuid,
    transaction: &mut Transaction,
) -> Result<Option<Document>, sqlx::Error> {
    let found: Option<(NaiveDate, NaiveDate, String, Vec<u8>)> = sqlx::query_as(
        "SELECT from_date, to_date, file_name, content FROM billing.statement_of($1)",
    )
    .bind(message)
    .fetch_optional(transaction)
    .await?;
    Ok(found.map(|(from, to, file_name, content)| Document {
        subject: DocumentSubject::Statement(from, to),
        file_name,
        content,
    }))
}

/// The id that the patient has now. Records may have been merged since, and it is the survivor who
/// says what they want.
async fn present_id(patient: Uuid, transaction: &mut Transaction) -> Result<Uuid, sqlx::Error> {
    let ids = patient_access::ids_of(patient, transaction).await?;
    Ok(ids.last().copied().unwrap_or(patient))
}

/// The address or number that the message goes to, or why there is none.
fn recipient(
    channel: Channel,
    contact: &Contact,
    preferences: &Preferences,
) -> Result<String, Suppression> {
    match channel {
        Channel::Email => contact.email.clone().ok_or(Suppression::NoAddress),
        Channel::Sms => preferences.phone.clone().ok_or(Suppression::NotWanted),
    }
}

async fn contact_of(
    patient: Uuid,
    transaction: &mut Transaction,
) -> Result<Option<Contact>, sqlx::Error> {
    sqlx::query_as("SELECT name, email, restricted FROM patients.contact_of($1)")
        .bind(patient)
        .fetch_optional(transaction)
        .await
}

/// The template in the patient's language, or else in English.
async fn template(
    message: &DueMessage,
    language: &Language,
    transaction: &mut Transaction,
) -> Result<(Option<Template>, Language), sqlx::Error> {
    let (occasion, channel) = (message.occasion, message.channel);
    let template = Template::current(occasion, language, channel, &mut *transaction).await?;
    if template.is_some() {
        return Ok((template, language.clone()));
    }
    let english = Language::english();
    let template = Template::current(occasion, &english, channel, transaction).await?;
    Ok((template, english))
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
        ..PgInterval::default()
    }
}
