//! `make bench-against`: this commit beside another one; `make bench-tls`: this commit with and without TLS.
//!
//! Both are built in the same way and run side by side, in short blocks that alternate with each
//! other and with the bare SQL: whatever else the machine does slows down all of them. There is one
//! PostgreSQL, in which each side has a database with its own migrations.

mod broker;
mod commit;
mod contender;
mod database;
mod measure;
mod outcome;
mod request;
mod rival;

use std::{
    fs,
    io::{Write as _, stdout},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use self::{
    broker::Brokers,
    contender::{Builds, Contender},
    outcome::Outcome,
};
pub(crate) use self::{commit::Commit, database::Database, request::Request, rival::Rival};
use crate::{Options, build, chosen, repository::repository, say};

/// The folder for everything about this comparison.
fn folder() -> std::path::PathBuf {
    build::folder().join("against")
}

/// Measures both and prints the comparison.
///
/// # Errors
/// If one cannot be run.
pub(crate) async fn measure(rival: &Rival, options: &Options) -> Result<ExitCode> {
    let brokers = Brokers::start(rival.protections()).await?;
    say("creating a database for each of the two")?;
    let mut theirs = Database::create("theirs", &rival.source()).await?;
    let ours = Database::create("ours", repository()).await?;
    if matches!(rival, Rival::Unprotected) {
        theirs.admit_without_tls().await?;
    }
    theirs.url = rival.database_url(&theirs.url)?;
    let builds = Builds { rival, options };
    let mut outcome = Outcome::new(rival, options);
    let compared = async {
        for function in chosen::functions(options)? {
            let request = Request::of(&function.binary)?;
            let settings = brokers.settings(&function.name)?;
            let mut contenders = [
                Contender::of(builds.theirs(request, &settings[0], &theirs)?, &theirs).await?,
                Contender::of(builds.ours(request, &settings[1], &ours)?, &ours).await?,
            ];
            let figures = Box::pin(measure::measure(request, &mut contenders, options)).await;
            outcome.add(request, figures);
        }
        anyhow::Ok(())
    }
    .await;
    ours.delete().await?;
    theirs.delete().await?;
    compared?;
    writeln!(stdout(), "{outcome}")?;
    let file = outcome.file();
    fs::create_dir_all(folder())?;
    let text = serde_json::to_string_pretty(&outcome)?;
    for file in [Some(&file), options.json.as_ref()].into_iter().flatten() {
        fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        say(&format!("figures: {}", file.display()))?;
    }
    Ok(outcome.exit_code())
}
