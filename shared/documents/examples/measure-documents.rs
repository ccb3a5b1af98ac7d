//! Makes documents again and again: how long a page takes a processor, and how large it is.
//!
//! `cargo run --release -p documents --features testing --example measure-documents -- FOLDER`
//!
//! writes the documents into a folder, too. Fails if a page takes more than 30 ms or 60 kB. With `--once`
//! it does not measure time.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "for whoever measures"
)]
#![expect(clippy::cast_precision_loss, reason = "a document is small")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use documents::{Document, Error, Language, samples};

const MOST_MILLISECONDS: f64 = 30.0;
const MOST_KILOBYTES: f64 = 60.0;
const ROUNDS: u32 = 20;

type Make = Box<dyn Fn() -> Result<Document, Error>>;

fn main() -> ExitCode {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let rounds = if std::env::args().any(|argument| argument == "--once") {
        0
    } else {
        ROUNDS
    };
    match measure(folder.as_deref(), rounds) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(folder: Option<&Path>, rounds: u32) -> Result<bool, Box<dyn std::error::Error>> {
    let first = Instant::now();
    samples::invoice(0, 5).pdf(&samples::clinic(Language::English))?;
    let first = first.elapsed().as_secs_f64() * 1000.0;
    println!("the first document of a process, which reads the fonts: {first:.1} ms");
    println!(
        "{:<22} {:>6} {:>12} {:>12}",
        "document", "pages", "ms a page", "kB a page"
    );
    let mut is_within = true;
    for (name, make) in documents() {
        let document = make()?;
        let before = processor_time();
        for _ in 0..rounds {
            make()?;
        }
        let pages = document.pages as f64;
        let milliseconds = (processor_time() - before) / f64::from(rounds.max(1)) / pages;
        let kilobytes = document.bytes.len() as f64 / 1000.0 / pages;
        is_within &= milliseconds <= MOST_MILLISECONDS && kilobytes <= MOST_KILOBYTES;
        println!(
            "{name:<22} {:>6} {milliseconds:>12.2} {kilobytes:>12.1}",
            document.pages
        );
        if let Some(folder) = folder {
            fs::create_dir_all(folder)?;
            fs::write(folder.join(format!("{name}.pdf")), &document.bytes)?;
        }
    }
    Ok(is_within)
}

fn documents() -> Vec<(String, Make)> {
    let mut documents: Vec<(String, Make)> = Vec::new();
    for person in 0..samples::PEOPLE.len() {
        let language = Language::ALL[person % Language::ALL.len()];
        documents.push((
            format!("invoice-{person}-{language}"),
            Box::new(move || samples::invoice(person, 6).pdf(&samples::clinic(language))),
        ));
    }
    for (language, lines) in [
        (Language::English, 60),
        (Language::Arabic, 25),
        (Language::German, 200),
    ] {
        documents.push((
            format!("invoice-{lines}-lines-{language}"),
            Box::new(move || samples::invoice(1, lines).pdf(&samples::clinic(language))),
        ));
    }
    for (language, lines) in [
        (Language::English, 8),
        (Language::German, 40),
        (Language::Arabic, 60),
        (Language::Hebrew, 100),
        (Language::German, 2000),
        (Language::French, 10_000),
    ] {
        documents.push((
            format!("statement-{lines}-{language}"),
            Box::new(move || samples::statement(2, lines).pdf(&samples::clinic(language))),
        ));
    }
    for (language, person) in [(Language::German, 0), (Language::Arabic, 1)] {
        documents.push((
            format!("statement-logo-{language}"),
            Box::new(move || {
                samples::statement(person, 30).pdf(&samples::clinic_with_logo(language))
            }),
        ));
        documents.push((
            format!("invoice-logo-{language}"),
            Box::new(move || samples::invoice(person, 6).pdf(&samples::clinic_with_logo(language))),
        ));
    }
    documents
}

/// What this process has used of the processors, in milliseconds. Where the system does not say, how
/// much time has passed: nothing else is going on in it.
fn processor_time() -> f64 {
    thread_local!(static STARTED: Instant = Instant::now());
    let used = fs::read_to_string("/proc/self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    used.map_or_else(
        || STARTED.with(|started| started.elapsed().as_secs_f64() * 1000.0),
        |nanoseconds| nanoseconds / 1_000_000.0,
    )
}
