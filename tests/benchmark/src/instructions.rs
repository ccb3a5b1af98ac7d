//! `make instructions`: how many instructions of the processor a warm request takes in the function,
//! counted by valgrind's callgrind. Unlike times, counts are nearly the same on a busy machine.

mod callgrind;
mod expected;

use std::{
    collections::BTreeMap,
    env,
    io::{Write as _, stdout},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use local_stack::template::Function;
use serde::Deserialize;

use self::{
    callgrind::Counted,
    expected::{Expected, Judgement},
};
use crate::{
    Options,
    bare_sql::BareSql,
    build, chosen, deployed,
    patients::{NewPatient, answered, create_event, get_event},
    repository::repository,
    say,
    subject::Subject,
};

/// The functions that are counted.
const FUNCTIONS: [&str; 2] = ["get-patient", "create-patient"];
/// Connections are open and statements prepared after these; each new patient may open another of
/// Kafka's six partitions.
const WARM_UP: u32 = 40;
/// Requests are counted in groups: the median group is not one in which something else happened, such
/// as a new login to Kafka.
const GROUPS: u32 = 9;
const REQUESTS_IN_GROUP: u32 = 5;
/// The program with all functions, as the local stack runs it.
const ALL_FUNCTIONS: &str = "functions";

/// Counts, compares with what is expected, and prints both.
///
/// # Errors
/// If something cannot be built or counted.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn count(options: &Options) -> Result<ExitCode> {
    if !callgrind::is_installed() {
        let lack =
            "NOT COUNTED: valgrind is not on the path (Debian and Ubuntu: apt install valgrind)";
        say(lack)?;
        // Nothing was asked for when this is one of many tests.
        return Ok(if options.if_possible {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let mut expected = Expected::read(&options.profile)?;
    let mut judgements = BTreeMap::new();
    for function in functions(options)? {
        let binary = function.binary.clone();
        say(&format!("{binary}: counting, about 20 s"))?;
        let counted = count_function(&function, options).await?;
        judgements.insert(binary.clone(), expected.judge(&binary, counted));
    }
    writeln!(stdout(), "{}", table(&judgements))?;
    if options.accept {
        for (binary, judgement) in &judgements {
            expected.accept(binary, judgement.counted);
        }
        say(&format!("written: {}", expected.write()?.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if judgements.values().any(Judgement::has_grown) {
        say(
            "more than a tenth above what is expected: find out why, or accept it with \
             `make instructions ARGS=--accept`",
        )?;
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn functions(options: &Options) -> Result<Vec<Function>> {
    for name in &options.functions {
        ensure!(
            FUNCTIONS.contains(&name.as_str()),
            "the instructions of {name} are not counted, only those of {}",
            FUNCTIONS.join(" and ")
        );
    }
    let mut functions = chosen::functions(options)?;
    functions.retain(|function| FUNCTIONS.contains(&function.binary.as_str()));
    Ok(functions)
}

async fn count_function(function: &Function, options: &Options) -> Result<Counted> {
    let settings = deployed::settings(&function.name)?;
    let (program, arguments) = program(&function.binary, options)?;
    let mut subject = Subject::of(&function.binary, &program, settings)?;
    subject.arguments = arguments;
    let mut sql = BareSql::connect().await?;
    let counted = match function.binary.as_str() {
        "get-patient" => {
            let (id, _) = sql.create(&NewPatient::fresh()).await?;
            count_requests(&subject, || get_event(id), 200).await
        }
        "create-patient" => {
            count_requests(&subject, || create_event(&NewPatient::fresh()), 201).await
        }
        other => bail!("there is no request to {other}"),
    };
    sql.clean_up().await?;
    counted
}

async fn count_requests(
    function: &Subject,
    event: impl Fn() -> Result<Bytes>,
    status: u16,
) -> Result<Counted> {
    let mut counter = callgrind::start(function).await?;
    for request in 0..WARM_UP {
        let answer = counter.environment.invoke(event()?).await?;
        // Under valgrind and on a busy machine, the first logins may take too long.
        if request >= WARM_UP / 2 {
            answered(&answer.body, status)?;
        }
    }
    counter.environment.ready().await?;
    counter.begin()?;
    let mut groups = Vec::new();
    // The first group translates code that was not looked at before, and does not count.
    for group in 0..=GROUPS {
        for _ in 0..REQUESTS_IN_GROUP {
            let answer = counter.environment.invoke(event()?).await?;
            answered(&answer.body, status)?;
        }
        // What a function does after its response is a part of the request.
        counter.environment.ready().await?;
        let instructions = counter.since_last()?;
        if group > 0 {
            groups.push(instructions / u64::from(REQUESTS_IN_GROUP));
        }
    }
    Counted::of(groups).context("nothing was counted")
}

/// What runs the function, and with which arguments. What the local stack runs is compiled already;
/// other profiles are built as for AWS.
fn program(binary: &str, options: &Options) -> Result<(PathBuf, Vec<std::ffi::OsString>)> {
    if options.profile != "dev" {
        return Ok((build::program(options, binary), Vec::new()));
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(repository())
        .args(["build", "--quiet", "--bin", ALL_FUNCTIONS])
        .args(["--message-format", "json-render-diagnostics"])
        .env("SQLX_OFFLINE", "true")
        .env_remove("DATABASE_URL")
        .stderr(Stdio::inherit());
    local_stack::build::without_traces_of_cargo_run(&mut cargo);
    let output = cargo.output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "the build failed ({})",
        output.status
    );
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = executable(&messages).context("cargo does not say where the program is")?;
    Ok((program, vec![binary.into()]))
}

/// Where cargo has put the program with all functions, according to its messages.
fn executable(messages: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        target: Target,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let messages = messages.lines();
    let mut built = messages.filter_map(|line| serde_json::from_str::<Message>(line).ok());
    built
        .find_map(|message| (message.target.name == ALL_FUNCTIONS).then_some(message.executable)?)
}

fn table(judgements: &BTreeMap<String, Judgement>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "instructions of a warm request",
        "counted",
        "lowest … highest of the groups",
        "expected",
        "ratio",
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (binary, judgement) in judgements {
        let Judgement { counted, expected } = judgement;
        table.add_row([
            binary.clone(),
            counted.median.to_string(),
            format!("{} … {}", counted.lowest, counted.highest),
            expected.map_or("none".to_owned(), |expected| expected.to_string()),
            judgement.ratio().map_or(String::new(), |ratio| {
                let verdict = if judgement.has_grown() { "✗" } else { "✓" };
                format!("{ratio:.3} {verdict}")
            }),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_what_cargo_says() {
        let messages = "\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"api\"},\"executable\":null}\n\
            not JSON\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"functions\"},\"executable\":\"/t/functions\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages), Some("/t/functions".into()));
        assert_eq!(executable(""), None);
    }
}
