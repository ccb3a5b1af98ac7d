//! `make bench`: how fast the functions start and respond, and how much they need.
//!
//! Starts every function as Lambda does and acts as its Lambda runtime API, with nothing in
//! between. Everything is measured alternately with a reference, so that a busy machine slows down
//! both: the start with the start of a bare `lambda_http` function, a warm request with its bare
//! SQL.
//!
//! It writes to the database, and the functions do what their sample events say: run it on a
//! separate stack.

mod against;
mod appointments;
mod bare_sql;
mod build;
mod chosen;
mod deployed;
mod environment;
mod figures;
mod instructions;
mod latency;
mod memory;
mod package;
mod patients;
mod processor_time;
mod record_cost;
mod report;
mod repository;
mod start;
mod statistics;
mod subject;

use std::{
    io::{Write as _, stderr, stdout},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser;

use crate::{
    against::{Request, Rival},
    figures::{FunctionFigures, Needs},
    report::Report,
    subject::{Subject, Subjects},
};

/// Measures the functions against a running stack.
#[derive(Debug, Parser)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option on the command line"
)]
struct Options {
    /// How often each function is started
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
    /// How many requests are measured, after a tenth as many for warming up
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// Only these functions, by the names of their binaries
    #[arg(long, visible_alias = "only", value_delimiter = ',')]
    functions: Vec<String>,
    /// Measure what was built earlier
    #[arg(long)]
    skip_build: bool,
    /// The cargo profile; AWS gets `release`
    #[arg(long, default_value = "release")]
    profile: String,
    /// Where to write the figures as JSON, in addition
    #[arg(long)]
    json: Option<PathBuf>,
    /// Compare get-patient, list-patients and create-patient, or those of them that are chosen, with
    /// this commit's
    #[arg(long, value_name = "REVISION")]
    against: Option<String>,
    /// Compare these functions with and without TLS, and the password of Kafka
    #[arg(long, conflicts_with = "against")]
    without_tls: bool,
    /// Count the instructions of warm requests to get-patient and create-patient with valgrind
    #[arg(long, conflicts_with_all = ["against", "without_tls"])]
    instructions: bool,
    /// Measure PostgreSQL's processor time for a record of the audit trail
    #[arg(long, conflicts_with = "instructions")]
    record_cost: bool,
    /// With --record-cost: how many records there are before
    #[arg(long, default_value_t = 100_000)]
    records: u32,
    /// With --instructions: expect the counts of this run from now on
    #[arg(long, requires = "instructions")]
    accept: bool,
    /// With --instructions: succeed without valgrind, having said so
    #[arg(long, requires = "instructions")]
    if_possible: bool,
    /// Run as the measuring program, which is built with the functions, so that the reference is
    /// compiled in the same way
    #[arg(long, hide = true)]
    measure: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    perform(options).unwrap_or_else(|error| {
        // If this fails, there is nobody to report it to.
        let _ = say(&format!("benchmark: {error:#}"));
        ExitCode::FAILURE
    })
}

fn perform(mut options: Options) -> Result<ExitCode> {
    if options.instructions {
        return instructions::count(&options);
    }
    if options.record_cost {
        return record_cost::measure(&options);
    }
    if options.against.is_some() || options.without_tls {
        let requests = Request::chosen(&options.functions)?;
        options.functions = requests
            .iter()
            .map(|request| request.function().to_owned())
            .collect();
    }
    if options.measure {
        measure(&options)
    } else {
        build::build_and_measure(&options)
    }
}

// The same runtime as that of the functions: the bare SQL runs in it.
#[tokio::main(flavor = "current_thread")]
async fn measure(options: &Options) -> Result<ExitCode> {
    if let Some(rival) = Rival::chosen(options)? {
        return Box::pin(against::measure(&rival, options)).await;
    }
    let subjects = Subjects::find(options)?;
    let mut report = Report::new(options);

    for (index, subject) in subjects.functions.iter().enumerate() {
        say(&format!(
            "{}: start, memory, size ({} of {})",
            subject.binary,
            index + 1,
            subjects.functions.len()
        ))?;
        let figures = function_figures(subject, &subjects.bare, options).await;
        report.function(&subject.binary, figures);
    }
    // The bare function responds to any request.
    report.bare_function(needs(&subjects.bare, memory::sample_event("health")?).await);

    // Last, because the events of new patients keep the stack busy for a while.
    appointments::measure(&subjects, options, &mut report).await?;
    latency::measure(&subjects, options, &mut report).await?;

    writeln!(stdout(), "{report}")?;
    for path in report.write(options)? {
        say(&format!("figures: {}", path.display()))?;
    }
    Ok(report.exit_code())
}

async fn function_figures(
    function: &Subject,
    bare: &Subject,
    options: &Options,
) -> Result<FunctionFigures> {
    Ok(FunctionFigures {
        start: start::measure(function, bare, options).await?,
        needs: needs(function, memory::sample_event(&function.binary)?).await?,
    })
}

async fn needs(function: &Subject, event: Vec<u8>) -> Result<Needs> {
    Ok(Needs {
        peak_memory_bytes: memory::measure(function, event.into()).await?,
        zipped_bytes: package::zipped_size(&function.program)?,
    })
}

/// Prints progress.
fn say(line: &str) -> Result<()> {
    Ok(writeln!(stderr(), "{line}")?)
}
