//! For those who wait for a first `up`: what is going on, and something to read.

use anyhow::Result;

use crate::cache::{Cache, python_command};
use crate::progress::Step;
use crate::stack::Context;
use crate::tool::Tool;

/// Says what is going to happen, and what takes longest.
pub fn announce(context: &Context) {
    context.progress.line(
        "The first time on this machine: everything is installed, started and compiled side by side. What is\n\
         waited for is the compiling of the functions, some 3 minutes on two cores; then they are\n\
         deployed in a quarter of a minute.",
    );
}

/// Makes a page of the API document and says where it is, and what else there is to read.
///
/// # Errors
/// If the page cannot be written. Nobody needs it to go on.
pub fn offer(context: &Context, step: &Step<'_>) -> Result<()> {
    let settings = &context.settings;
    let python = Cache::new(settings).plain_python()?;
    let tool = Tool::new(step, &settings.log("reading"))?;
    let page = tool.capture(
        python_command(&python)
            .arg(settings.repository.join("localstack/reading.py"))
            .arg(settings.directory.join("reading")),
    )?;
    context.progress.line(format!(
        "\n  To read meanwhile\n    the API        {}\n    a walk through {}\n    how it is made {}\n",
        page.trim(),
        settings.repository.join("README.md").display(),
        settings.repository.join("docs/architecture.md").display(),
    ));
    Ok(())
}
