//! Appointments: availability beside the SQL that it is computed from, and bookings by many who want
//! the same day.

mod availability;
mod booking;
mod clinic;

use anyhow::Result;

use crate::{Options, report::Report, say, subject::Subjects};

use self::clinic::Clinic;

/// Measures what was chosen of the two.
///
/// # Errors
/// If there is no database.
pub(crate) async fn measure(
    subjects: &Subjects,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    if let Some(function) = subjects.function("find-availability") {
        let clinic = Clinic::set_up().await?;
        for wish in availability::Wish::all(&clinic) {
            let what = wish.to_string();
            say(&format!("{what}: warm requests"))?;
            let figures = availability::measure(&wish, function, &subjects.bare, options).await;
            report.latency(&what, figures);
        }
    }
    if let Some(function) = subjects.function("book-appointment") {
        say("book-appointment: 100 clients, one day of one clinician")?;
        let clinic = Clinic::set_up().await?;
        report.booking(booking::measure(&clinic, function).await);
    }
    Ok(())
}
