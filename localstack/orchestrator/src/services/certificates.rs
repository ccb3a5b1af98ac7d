//! The certificates that the database and the broker show, and the authority that issued them.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

use crate::cache::{Cache, Environment, python_command};
use crate::context::Context;
use crate::files;
use crate::progress::Step;
use crate::settings::Settings;
use crate::tool::Tool;

/// The database and the broker are started at the same time.
static MAKING: Mutex<()> = Mutex::new(());

/// Where they are, or will be.
#[must_use]
pub fn folder(settings: &Settings) -> PathBuf {
    settings.directory.join("certificates")
}

/// The file with the certificate of the authority that clients have to trust, in PEM.
#[must_use]
pub fn authority_file(settings: &Settings) -> PathBuf {
    folder(settings).join("authority.pem")
}

/// What is in this file. It is there once the database or the broker has been started.
///
/// # Errors
/// If it cannot be read.
pub fn authority(settings: &Settings) -> Result<String> {
    let path = authority_file(settings);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Makes them, if they are not there.
///
/// # Errors
/// If that fails.
pub fn ensure(context: &Context, step: &Step<'_>) -> Result<PathBuf> {
    let settings = &context.settings;
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder(settings);
    if !folder.exists() {
        let python = Cache::new(settings).python_environment(step, Environment::Kafka)?;
        files::create_folder(&settings.directory)?;
        Tool::new(step, &settings.log("certificates"))?.run(
            python_command(&python.python())
                .arg(settings.repository.join("localstack/kafka/certificates.py"))
                .arg(&folder),
        )?;
    }
    Ok(folder)
}
