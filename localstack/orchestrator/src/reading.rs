//! For those who wait for a first `up`: what is going on, and something to read.

use anyhow::Result;

use crate::cache::{Cache, python_command};
use crate::context::Context;
use crate::progress::{Progress, Step};
use crate::tool::Tool;

/// Says what is going to happen, and what takes longest.
pub fn announce(context: &Context) {
    context.progress.line(
        "This is the first time on this machine, so everything is installed, started and compiled,\n\
         all in parallel. Compiling the functions takes longest, about 3 minutes on two cores;\n\
         deploying them takes another 15 seconds.",
    );
}

/// Makes a page of the API document, and says where it is and what else there is to read.
/// Whoever cannot have it goes on without.
pub fn offer(context: &Context) {
    let settings = &context.settings;
    // A step of its own run, so that its failure is not that of the others.
    let quiet = Progress::silent(context.progress.cancellation().clone());
    let page = quiet.step("reading", |step| make_page(context, step));
    if let Ok(page) = page {
        context.progress.line(format!(
            "\n  While you wait\n    the API        {}\n    a walk through {}\n    how it works   {}\n",
            page.trim(),
            settings.repository.join("README.md").display(),
            settings.repository.join("docs/architecture.md").display(),
        ));
    }
}

fn make_page(context: &Context, step: &Step<'_>) -> Result<String> {
    let settings = &context.settings;
    let python = Cache::new(settings).plain_python()?;
    Tool::new(step, &settings.log("reading"))?.capture(
        python_command(&python)
            .arg(settings.repository.join("localstack/reading.py"))
            .arg(settings.directory.join("reading")),
    )
}
