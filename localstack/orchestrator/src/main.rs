//! `local-stack`: the whole system on one machine.

mod demo_clinic;
mod inside;
mod mailbox;
mod operations;
mod report;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use local_stack::cancellation::{Cancellation, Cancelled};
use local_stack::context::Context;
use local_stack::durations::Durations;
use local_stack::processes::{Supervisor, launch};
use local_stack::progress::{Progress, Shown};
use local_stack::service::Service;
use local_stack::settings::Settings;
use local_stack::stack::{self, Scope};
use local_stack::stack_file::StackFile;

use crate::operations::Operation;

/// What a shell reports for a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;
/// What init scripts report for a service that is not running.
const NOT_RUNNING: u8 = 3;

/// Starts, deploys and stops the whole system on this machine, without Docker.
#[derive(Parser)]
#[command(name = "local-stack", after_help = report::settings_help())]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Install what is missing, start everything, build, deploy and provision
    Up,
    /// Stop everything that was started; the data stays
    Down,
    /// Stop one service and start it again, with the data it has
    Restart {
        /// `postgres`, `kafka`, `dynamodb` or `billing`
        service: Service,
    },
    /// Show what is running
    Status,
    /// Show the end of the log of a service or a function, or list all logs
    Logs {
        /// Service, function or step, such as `kafka`, `create-patient` or `deploy`
        name: Option<String>,
        /// Go on showing what comes
        #[arg(long, short)]
        follow: bool,
        /// How many lines to begin with
        #[arg(long, short = 'n', default_value_t = 50)]
        lines: usize,
    },
    /// Verify that no record of the audit trail is missing or was changed
    VerifyAudit,
    /// Sign access tokens with a new key
    RotateKey,
    /// Put the records of the dead-letter queue back on Kafka
    Redrive,
    /// Show the mail that the stack has sent
    Mail {
        /// The address; all addresses without it
        to: Option<String>,
    },
    /// Build and deploy everything again with SAM, starting what is not running
    Deploy,
    /// Stop everything and remove the data
    Clean,
    /// Run a command with the environment of the running stack
    Exec {
        /// The command and its arguments
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Bring up a stack, run a command with its environment, and stop the stack
    Run {
        /// Begin without data of earlier runs
        #[arg(long)]
        fresh: bool,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Run an installed tool, such as `sam`, `cfn-lint`, `aws` or `pytest`
    Tool {
        /// The tool and its arguments
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Become a service (for internal use)
    #[command(name = local_stack::processes::LAUNCH, hide = true)]
    Launch {
        program: OsString,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run a function with the settings that it is deployed with (for internal use)
    #[command(name = inside::RUN_FUNCTION, hide = true)]
    RunFunction {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let action = Arguments::parse().command;
    if let Action::Launch { program, arguments } = &action {
        report::failure(&launch(program, arguments));
        return ExitCode::from(127);
    }
    match perform(action) {
        Ok(code) => code,
        Err(error) if error.is::<Shown>() => ExitCode::FAILURE,
        Err(error) if error.is::<Cancelled>() => ExitCode::from(INTERRUPTED),
        Err(error) => {
            report::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn perform(action: Action) -> Result<ExitCode> {
    match action {
        Action::Up => up(Scope::Changes),
        Action::Deploy => up(Scope::Everything),
        Action::Down => {
            let context = context()?;
            if stack::down(&context)?.is_empty() {
                context.progress.line("nothing was running");
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Restart { service } => {
            stack::restart(&context()?, service)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Status => {
            let context = context()?;
            Ok(if report::status(&context)? {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(NOT_RUNNING)
            })
        }
        Action::Logs {
            name,
            follow,
            lines,
        } => {
            let settings = Settings::from_environment()?;
            report::logs(&settings, name.as_deref(), lines, follow)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::VerifyAudit => operate(Operation::VerifyAudit),
        Action::RotateKey => operate(Operation::RotateKey),
        Action::Redrive => operate(Operation::Redrive),
        Action::Mail { to } => {
            let settings = Settings::from_environment()?;
            mailbox::show(&StackFile::read(&settings)?, to.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Clean => {
            let context = context()?;
            stack::clean(&context)?;
            context.progress.line(format!(
                "data removed; installed tools stay in {}",
                context.settings.cache.display()
            ));
            Ok(ExitCode::SUCCESS)
        }
        Action::Exec { command } => {
            let context = context()?;
            let stack = StackFile::read(&context.settings)?;
            become_program(inside::command(&context, &stack, &command)?)
        }
        Action::RunFunction { program, arguments } => {
            let stack = StackFile::read(&Settings::from_environment()?)?;
            become_program(inside::function(&stack, &program, &arguments)?)
        }
        Action::Tool { command } => become_program(inside::tool(&context()?, &command)?),
        Action::Run { fresh, command } => run(fresh, &command),
        Action::Launch { .. } => unreachable!("handled before anything else"),
    }
}

fn operate(operation: Operation) -> Result<ExitCode> {
    let stack = StackFile::read(&Settings::from_environment()?)?;
    Ok(if operations::perform(&stack, operation)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn become_program(mut command: Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run {}", command.get_program().display()))
}

fn up(scope: Scope) -> Result<ExitCode> {
    let begin = Instant::now();
    let context = context()?;
    let stack = stack::up(&context, scope)?;
    // The system is up without it.
    let demo = context
        .progress
        .step("Demo clinic", |step| demo_clinic::set_up(step, &stack));
    if let Err(error) = demo {
        context
            .progress
            .line(format!("  there is no demo clinic: {error:#}"));
    }
    report::welcome(&context.settings, &stack, begin.elapsed())?;
    Ok(ExitCode::SUCCESS)
}

fn run(fresh: bool, command: &[OsString]) -> Result<ExitCode> {
    let context = context()?;
    if fresh {
        stack::clean(&context)?;
    }
    let stack = stack::up(&context, Scope::Changes)?;
    let outcome = inside::run(&context, &stack, command);
    // Also after Ctrl-C, which must not end this part before it is done.
    let afterwards = Context {
        settings: context.settings,
        supervisor: context.supervisor,
        progress: Progress::new(Cancellation::default()),
    };
    stack::down(&afterwards)?;
    outcome
}

fn context() -> Result<Context> {
    let settings = Settings::from_environment()?;
    let launcher = std::env::current_exe().context("cannot find this program's own file")?;
    let supervisor = Supervisor::new(&settings, launcher);
    let usual = Durations::read(&settings);
    let cancellation = Cancellation::on_signals().context("cannot listen to signals")?;
    Ok(Context {
        settings,
        supervisor,
        progress: Progress::new(cancellation).expecting(usual),
    })
}
