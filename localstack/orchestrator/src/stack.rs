//! A stack as a whole: bringing it up, and taking it down.

mod lock;

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};

use self::lock::Lock;
use crate::build::{self, Built};
use crate::cache::{Cache, Environment, PythonEnvironment};
use crate::cancellation::Cancelled;
use crate::context::Context;
use crate::deployed;
use crate::deployment::{Aws, Deployment};
use crate::durations::Durations;
use crate::endpoints::{Endpoints, host_and_port};
use crate::files;
use crate::ports::Ports;
use crate::provisioning;
use crate::readiness;
use crate::reading;
use crate::service::Service;
use crate::services::localstack::{self, Extension};
use crate::services::postgres::service_roles::ServiceRoles;
use crate::services::{billing, dynamodb, kafka, postgres};
use crate::settings::Settings;
use crate::stack_file::StackFile;
use crate::template::{Function, Template};

/// How much of a deployment to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What has changed.
    Changes,
    /// Everything, with SAM.
    Everything,
}

struct Prepared {
    localstack: PythonEnvironment,
    extension: Extension,
    sam: PythonEnvironment,
    built: Built,
}

/// Installs, starts, builds, deploys and provisions whatever is not as it should be.
///
/// # Errors
/// If a step fails: it has been shown then, and what this call had started is stopped.
pub fn up(context: &Context, scope: Scope) -> Result<StackFile> {
    let _lock = Lock::take(&context.settings)?;
    let result = bring_up(context, scope);
    if result.is_err() {
        let stopped = context.supervisor.stop_started()?;
        if !stopped.is_empty() {
            let names: Vec<&str> = stopped.iter().map(|service| service.title()).collect();
            context
                .progress
                .line(format!("  stopped again: {}", names.join(", ")));
        }
    }
    result
}

fn bring_up(context: &Context, scope: Scope) -> Result<StackFile> {
    let settings = &context.settings;
    let ports = Ports::choose(settings, &context.supervisor)?;
    let endpoints = endpoints(settings, &ports)?;
    let template = Template::read(&settings.repository.join("template.yaml"))?;
    let functions = template.functions(&settings.stack_name)?;

    if scope == Scope::Everything {
        deployed::discard(settings)?;
    }
    let prepared = prepare(context, &ports, &functions)?;
    let progress = &context.progress;
    progress.step(Service::Billing.title(), |step| {
        billing::start(
            context,
            step,
            &ports,
            &endpoints,
            &prepared.built.billing_service,
        )
    })?;

    let aws = Aws {
        endpoint: &endpoints.localstack_url,
        localstack: &prepared.localstack,
        sam: &prepared.sam,
    };
    let deployment = Deployment::new(settings, &endpoints, &template, &functions, &prepared.built)?;
    if settings.starts(Service::Localstack)
        && let Some(before) = deployment.of_another_template()?
        && !progress.step("Template", |step| {
            deployment.change(step, &before, &provisioning::PROGRAMS)
        })?
    {
        start_localstack(context, &ports, &prepared.localstack, &prepared.extension)?;
    }
    // LocalStack has not been started anew since.
    deployment.store_secrets()?;
    let mut deployed = progress.step("Deployment", |step| deployment.deploy(step, &aws))?;
    progress.step("Provisioning", |step| {
        provisioning::provision(settings, step, &aws, &functions, &mut deployed)
    })?;

    let stack = write_stack_file(context, &endpoints, &deployed.api_url)?;
    // Nothing but the next estimate depends on it.
    if let Err(error) = Durations::remember(settings, &progress.finished()) {
        progress.line(format!("  how long it took is not remembered: {error:#}"));
    }
    Ok(stack)
}

/// Where the parts are, given the ports of those that this program starts.
fn endpoints(settings: &Settings, ports: &Ports) -> Result<Endpoints> {
    let database_url = match &settings.database_url {
        Some(url) => url.clone(),
        None => postgres::url(settings, ports)?,
    };
    Ok(Endpoints {
        service_roles: ServiceRoles::new(settings, &database_url)?,
        database_url,
        kafka_bootstrap_servers: settings
            .kafka_bootstrap_servers
            .clone()
            .unwrap_or_else(|| ports.address_of(Service::Kafka)),
        billing_url: format!("http://{}", ports.address_of(Service::Billing)),
        billing_token: files::secret(&settings.secret("billing-token"))?,
        localstack_url: settings
            .localstack_endpoint
            .clone()
            .unwrap_or_else(|| localstack::url(ports)),
    })
}

fn write_stack_file(context: &Context, endpoints: &Endpoints, api_url: &str) -> Result<StackFile> {
    let mut pids = BTreeMap::new();
    for service in Service::ALL {
        if let Some(record) = context.supervisor.running(service)? {
            pids.insert(service, record.identity.pid);
        }
    }
    let stack = StackFile::new(&context.settings, endpoints, api_url, &pids);
    stack.write(&context.settings)?;
    Ok(stack)
}

/// Stops one service of a stack that is up, if it is running, and starts it again.
///
/// # Errors
/// If the stack is not up, or the service is not one that can be started by itself.
pub fn restart(context: &Context, service: Service) -> Result<StackFile> {
    let _lock = Lock::take(&context.settings)?;
    let settings = &context.settings;
    let before = StackFile::read(settings)?;
    if service == Service::Localstack {
        bail!("LocalStack forgets what is deployed when it ends: use `up`, which deploys it again");
    }
    if !settings.starts(service) {
        bail!("this stack uses {service} of your own, which it does not start or stop");
    }
    // As it was, also where the code has changed meanwhile.
    let program = context.supervisor.last_program(service)?;
    let program = program
        .with_context(|| format!("it is not known how {service} was started: use `up` instead"))?;
    context.supervisor.stop(service)?;

    let ports = Ports::choose(settings, &context.supervisor)?;
    let endpoints = endpoints(settings, &ports)?;
    match service {
        Service::Postgres => start_postgres(context, &ports)?,
        Service::Kafka => start_kafka(context, &ports)?,
        Service::Dynamodb => start_dynamodb(context, &ports)?,
        Service::Billing => context.progress.step(service.title(), |step| {
            billing::start(context, step, &ports, &endpoints, &program)
        })?,
        Service::Localstack => unreachable!("refused above"),
    }
    write_stack_file(context, &endpoints, &before.api_url)
}

/// Everything that can be done at the same time, in one line of steps for each thing that has
/// to be installed first. Compiling takes longest, and the others are done meanwhile.
fn prepare(context: &Context, ports: &Ports, functions: &[Function]) -> Result<Prepared> {
    let settings = &context.settings;
    let progress = &context.progress;
    let cache = Cache::new(settings);

    let localstack = || -> Result<_> {
        let (python, extension) = progress.step("LocalStack packages", |step| {
            let python = cache.python_environment(step, Environment::Localstack)?;
            let extension = localstack::install_extension(settings, step, &python)?;
            Ok((python, extension))
        })?;
        start_localstack(context, ports, &python, &extension)?;
        Ok((python, extension))
    };
    let sam = || {
        progress.step(Environment::Sam.title(), |step| {
            cache.python_environment(step, Environment::Sam)
        })
    };
    let built = || {
        progress.step("Functions, billing service", |step| {
            let built = build::build(settings, step, functions)?;
            step.result(format!("built, profile {}", settings.profile));
            Ok(built)
        })
    };

    let is_first = Durations::read(settings) == Durations::default();
    if is_first {
        reading::announce(context);
    }
    let (built, localstack, sam, services) = thread::scope(|scope| {
        if is_first {
            scope.spawn(|| reading::offer(context));
        }
        let built = scope.spawn(built);
        let localstack = scope.spawn(localstack);
        let sam = scope.spawn(sam);
        let services = [start_postgres, start_kafka, start_dynamodb]
            .map(|start| scope.spawn(move || start(context, ports)));
        (
            built.join(),
            localstack.join(),
            sam.join(),
            services.map(thread::ScopedJoinHandle::join),
        )
    });
    // The error that is reported is the one that made the others give up.
    let mut failures = Vec::new();
    let built = settle(built, &mut failures);
    let localstack = settle(localstack, &mut failures);
    let sam = settle(sam, &mut failures);
    for service in services {
        settle(service, &mut failures);
    }
    failures.sort_by_key(|failure| failure.downcast_ref() == Some(&Cancelled::Abandoned));
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure);
    }
    let ((built, (localstack, extension)), sam) = built
        .zip(localstack)
        .zip(sam)
        .context("a step ended without a result")?;
    Ok(Prepared {
        localstack,
        extension,
        sam,
        built,
    })
}

fn settle<T>(outcome: thread::Result<Result<T>>, failures: &mut Vec<anyhow::Error>) -> Option<T> {
    match outcome {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(failure)) => failures.push(failure),
        Err(_) => failures.push(anyhow!("a step ended unexpectedly; see above")),
    }
    None
}

fn start_postgres(context: &Context, ports: &Ports) -> Result<()> {
    let title = Service::Postgres.title();
    context
        .progress
        .step(title, |step| match &context.settings.database_url {
            None => postgres::start(context, step, ports),
            Some(url) => {
                let address =
                    host_and_port(url, 5432).context("DATABASE_URL is not a URL with a host")?;
                readiness::accepts_connections(&address)
                    .map_err(|reason| anyhow!("DATABASE_URL: {reason}"))?;
                step.result(format!("yours, at {address}"));
                Ok(())
            }
        })
}

fn start_kafka(context: &Context, ports: &Ports) -> Result<()> {
    let title = Service::Kafka.title();
    if let Some(servers) = &context.settings.kafka_bootstrap_servers {
        return context.progress.step(title, |step| {
            let mut reasons = Vec::new();
            for server in servers.split(',') {
                match readiness::speaks_kafka(server.trim()) {
                    Ok(()) => {
                        step.result(format!("yours, at {servers}"));
                        return Ok(());
                    }
                    Err(reason) => reasons.push(reason),
                }
            }
            Err(anyhow!("KAFKA_BOOTSTRAP_SERVERS: {}", reasons.join("; ")))
        });
    }
    let broker = context.progress.step(Environment::Kafka.title(), |step| {
        kafka::Broker::install(&context.settings, step)
    })?;
    context
        .progress
        .step(title, |step| kafka::start(context, step, ports, &broker))
}

fn start_dynamodb(context: &Context, ports: &Ports) -> Result<()> {
    if !context.settings.starts(Service::Dynamodb) {
        return Ok(());
    }
    let program = context.progress.step("DynamoDB server", |step| {
        Cache::new(&context.settings).dynoxide(step)
    })?;
    context.progress.step(Service::Dynamodb.title(), |step| {
        dynamodb::start(context, step, ports, &program)
    })
}

fn start_localstack(
    context: &Context,
    ports: &Ports,
    python: &PythonEnvironment,
    extension: &Extension,
) -> Result<()> {
    let title = Service::Localstack.title();
    context
        .progress
        .step(title, |step| match &context.settings.localstack_endpoint {
            None => localstack::start(context, step, ports, python, extension),
            Some(endpoint) => {
                localstack::session(endpoint).context("LOCALSTACK_ENDPOINT")?;
                step.result(format!("yours, at {endpoint}"));
                Ok(())
            }
        })
}

/// Stops everything that belongs to the stack. Returns what was running.
///
/// # Errors
/// If a process does not end.
pub fn down(context: &Context) -> Result<Vec<Service>> {
    let _lock = Lock::take(&context.settings)?;
    files::remove(&StackFile::path(&context.settings))?;
    let mut stopped = Vec::new();
    for service in Service::ALL.into_iter().rev() {
        if context.supervisor.running(service)?.is_none() {
            continue;
        }
        context.progress.step(service.title(), |step| {
            step.doing("stopping");
            context.supervisor.stop(service)?;
            step.result("stopped");
            Ok(())
        })?;
        stopped.push(service);
    }
    Ok(stopped)
}

/// Stops the stack and removes its data, logs and state. Installed tools stay, and so
/// does whatever else is in the folder.
///
/// # Errors
/// If something cannot be removed.
pub fn clean(context: &Context) -> Result<()> {
    const OWN: [&str; 17] = [
        "certificates",
        "deploy",
        "dynamodb",
        "extension",
        "faults",
        "import",
        "kafka",
        "localstack",
        "logs",
        "ports.json",
        "postgres",
        "postgres.new",
        "reading",
        "restore-drill",
        "secrets",
        "steps.json",
        "tests.lock",
    ];
    down(context)?;
    let _lock = Lock::take(&context.settings)?;
    for name in OWN.into_iter().chain(["processes"]) {
        files::remove(&context.settings.directory.join(name))?;
    }
    Ok(())
}
