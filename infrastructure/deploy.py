"""Deploys the whole system to AWS, from the network to the smoke test.

    make deploy-aws ARGS="--size economy --domain clinic.example --certificate-arn arn:… \\
        --set NotificationsSender=clinic@clinic.example --plan"

People and pipelines run the same command. It may be repeated, and continues where it was: a stack
that would not change is left alone. `--plan` prints every command with its parameters, in order,
and needs neither an account nor credentials.

Every output of a stack has the name of the parameter that it is for, in a later stack or in
template.yaml. An output `…SecretArn` names a secret. Where a parameter takes its value, that is
passed on in a file that only its owner can read, and that is gone afterwards. No secret is on a
command line or on the screen.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
INFRASTRUCTURE = REPOSITORY / "infrastructure"
BUILT = REPOSITORY / ".aws-sam"

# How often each function in the VPC may run at a time: with up to 150 of them, the sum has to be at
# least 100 below the account's limit, which is 1,000 once AWS has raised it.
FUNCTION_CONCURRENCY = {"economy": "5", "hospital": "6"}

# While one of these is on after a deployment, the one before it is deployed again.
ROLL_BACK_ON = ["server-errors", "authorizer-fails"]

# Where MSK says what the brokers' listeners are, by KafkaAuthentication.
BOOTSTRAP_BROKERS = {
    "IAM": "BootstrapBrokerStringSaslIam",
    "SCRAM": "BootstrapBrokerStringSaslScram",
}

# How AWS says that something does not exist.
NO_SUCH_THING = re.compile(r"does not exist|not exist|NotFound|NonExistent")

# The states in which CloudFormation changes nothing in a stack any more, and the way out.
STUCK = {
    **dict.fromkeys(
        ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS", "CREATE_FAILED"],
        "it was never deployed. See its events for the reason, then delete it {delete}",
    ),
    "DELETE_FAILED": "see its events for what could not be deleted, then delete it {delete}",
    "UPDATE_ROLLBACK_FAILED": "see its events for the reason, remove that, then run "
    "`aws cloudformation continue-update-rollback --stack-name {stack}`",
}

# What CloudFormation says in place of a value with NoEcho.
NO_ECHO = "****"

# How long the API may take to answer after a deployment: the first requests start functions.
PATIENCE_SECONDS = 120


class Failure(Exception):
    """Something that whoever deploys has to know."""


class Commands:
    """Runs commands, or only prints them."""

    def __init__(self, *, plan: bool, prefix: Sequence[str], region: str | None) -> None:
        """With `prefix` before `aws` and `sam`, such as the program that has them installed."""
        self.plan = plan
        self.prefix = list(prefix)
        # Both versions of the CLI, and SAM.
        names = ("AWS_REGION", "AWS_DEFAULT_REGION") if region else ()
        self.environment = os.environ | dict.fromkeys(names, region)

    def run(self, *command: str, unless_it_fails: bool = True, stdin: str | None = None) -> bool:
        """Run a command to its end; say whether it succeeded."""
        self.show(command)
        if self.plan:
            return True
        ended = subprocess.run(
            self.complete(command), env=self.environment, cwd=REPOSITORY, input=stdin, text=True
        )
        if ended.returncode and unless_it_fails:
            raise Failure(f"`{shlex.join(command[:3])} …` failed, see above")
        return ended.returncode == 0

    def ask(self, *command: str, planned: str, default: str | None = None) -> str:
        """What a command answers; with --plan, `planned`. What it asks for has to exist, unless
        there is a default.
        """
        self.show(command)
        if self.plan:
            return planned
        ended = subprocess.run(
            self.complete(command),
            env=self.environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=None if default is None else subprocess.PIPE,
            text=True,
        )
        if ended.returncode:
            if default is not None and NO_SUCH_THING.search(ended.stderr):
                return default
            print(ended.stderr or "", file=sys.stderr)
            raise Failure(f"`{shlex.join(command[:3])} …` failed, see above")
        return ended.stdout.strip()

    def show(self, command: Sequence[str]) -> None:
        """Print the command."""
        print("  $", shlex.join(command), flush=True)

    def complete(self, command: Sequence[str]) -> list[str]:
        """The command as it is run here."""
        return [*(self.prefix if command[0] in {"aws", "sam"} else []), *command]


def names_in(template: Path, section: str) -> dict[str, str]:
    """The names in a section of a template, with the lines below each."""
    text = template.read_text()
    found = re.search(rf"(?ms)^{section}:\n(.*?)(?=^\S|\Z)", text)
    entries = re.split(r"(?m)^  (?=\w+:)", found.group(1)) if found else []
    return {entry.split(":")[0]: entry for entry in entries if re.match(r"\w+:", entry)}


def title(text: str) -> None:
    """Print what comes now."""
    print(f"\n{text}", flush=True)


@dataclass(frozen=True)
class Deployed:
    """The application as it was deployed."""

    template: str
    # All but those that CloudFormation does not show.
    parameters: dict[str, str]


# The authorities that the functions know, by region.
ROOTS = REPOSITORY / "shared/store/src/postgres/rds_roots.pem"
REGIONS = frozenset(re.findall(r"^# (\S+)$", ROOTS.read_text(), re.MULTILINE))


class Deployment:
    """A deployment, and what is known of it so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Take what was asked for."""
        self.options = options
        self.name = options.name + (f"-{options.stage}" if options.stage else "")
        if not re.fullmatch(r"[a-z][a-z0-9-]{1,30}[a-z0-9]", self.name):
            raise Failure(f"{self.name} is not a name: small letters, digits and hyphens, up to 32")
        self.commands = Commands(
            plan=options.plan, prefix=shlex.split(options.tool), region=options.region
        )
        self.given = dict(pair.split("=", 1) for pair in options.set)
        self.known = {"Name": self.name} | self.given

    # ------------------------------------------------------------ deploying

    def deploy(self) -> None:
        """Bring everything up, one stack after the other."""
        options = self.options
        self.known |= {
            "Size": options.size,
            "Environment": "aws",
            "Architecture": "arm64",
            "AlarmEmail": options.alarm_email,
            "BillingDomain": f"billing.{options.domain}",
            "CertificateArn": options.certificate_arn,
            "FunctionConcurrency": FUNCTION_CONCURRENCY[options.size],
        } | self.given
        self.check_what_is_given()
        self.check_what_is_missing()
        self.check_what_is_there()

        self.deploy_stack("network", "The network")
        self.deploy_stack("data", "Database, Kafka, keys, registry, backups")
        self.push_billing_image()
        self.learn_versions_of_secrets(INFRASTRUCTURE / "billing.yaml")
        self.deploy_stack("billing", "The billing service")
        before = self.deployed_before()
        on_before = set(self.alarms_that_are_on())
        self.deploy_application()
        if not (self.provisioned() and self.works(on_before)):
            self.roll_back(before)
        self.deploy_stack("operations", "The dashboard")
        title("The audit trail, whose alarm is on until it has been verified once")
        self.invoke("verify-audit-trail")
        print(f"\n{self.name} is deployed: {self.known.get('ApiUrl', '')}")

    def check_what_is_given(self) -> None:
        """Refuse what would not fit the rest."""
        for name, option in {"Name": "--name and --stage", "Size": "--size"}.items():
            if name in self.given:
                raise Failure(f"say {option} instead of --set {name}")
        if "BillingToken" in self.given:
            raise Failure(
                "the billing service reads BillingToken from its secret: change it there, or say "
                "--set BillingTokenSecretArn"
            )
        here = self.commands.environment
        region = here.get("AWS_REGION") or here.get("AWS_DEFAULT_REGION")
        if region and region not in REGIONS:
            raise Failure(
                f"the functions do not know who issues the certificates of databases in {region}: "
                f"see {ROOTS.relative_to(REPOSITORY)}"
            )
        passwords = [name for name in self.given if name.endswith("DatabasePassword")]
        if (
            self.given.get("DatabaseAuthentication", "IAM") != "IAM"
            or "DatabaseOwnerUrl" in self.given
            or passwords
        ):
            raise Failure(
                "services log in to the database of the stacks with their roles, and have no "
                "passwords; docs/operations.md says under By hand how to deploy to another one"
            )
        authentication = self.given.get("KafkaAuthentication", "IAM")
        if authentication not in BOOTSTRAP_BROKERS or (
            authentication != "IAM" and "KafkaClusterArn" not in self.given
        ):
            raise Failure(
                "the brokers of the stack know roles only: say KafkaClusterArn as well for "
                "KafkaAuthentication=SCRAM, empty for brokers that are not MSK; NONE is refused"
            )
        if self.given.get("KafkaClusterArn") == "" and "KafkaBootstrapServers" not in self.given:
            raise Failure("say --set KafkaBootstrapServers=… for brokers that are not MSK")

    def check_what_is_missing(self) -> None:
        """Ask for everything at once, before anything is deployed."""
        given = set(self.known) | {"KafkaBootstrapServers", "BillingImage"}
        versions = names_in(INFRASTRUCTURE / "billing.yaml", "Parameters")
        given |= {name for name in versions if name.endswith("SecretVersion")}
        missing = []
        templates = [INFRASTRUCTURE / f"{stack}.yaml" for stack in ("network", "data", "billing")]
        for template in [*templates, REPOSITORY / "template.yaml"]:
            for parameter, lines in names_in(template, "Parameters").items():
                if parameter not in given and "Default:" not in lines:
                    missing.append(f"{parameter} ({template.name})")
            outputs = names_in(template, "Outputs")
            given |= set(outputs) | {name.removesuffix("SecretArn") for name in outputs}
        if missing:
            raise Failure("say --set NAME=VALUE for: " + ", ".join(missing))
        unknown = set(self.given)
        for template in [*templates, REPOSITORY / "template.yaml"]:
            unknown -= set(names_in(template, "Parameters")) | set(names_in(template, "Outputs"))
        if unknown:
            raise Failure("no template has the parameter " + ", ".join(sorted(unknown)))

    def check_what_is_there(self) -> None:
        """Refuse to deploy over stacks that failed, and over what a deleted stack has left: the
        deployment would fail halfway, after most of an hour.
        """
        title("What is there already")
        application = ""
        for stack in ("network", "data", "billing", "", "operations"):
            name = f"{self.name}-{stack}" if stack else self.name
            state = self.commands.ask(
                *("aws", "cloudformation", "describe-stacks", "--stack-name", name),
                *("--query", "Stacks[0].StackStatus", "--output", "text"),
                planned="",
                default="",
            )
            if state in STUCK:
                delete = f"with `aws cloudformation delete-stack --stack-name {name}`"
                if stack == "data":
                    delete = "with --destroy --delete-data, because its database is protected"
                way_out = STUCK[state].format(delete=delete, stack=name)
                raise Failure(f"{name} is in the state {state}: {way_out}")
            if not stack:
                application = state
        if not application:
            left = [what for what, _ in self.left_behind(planned=False)]
            if left:
                raise Failure(
                    f"an earlier {self.name} has left {', '.join(left)}: import or delete them, as "
                    "docs/operations.md says under Tearing down"
                )

    def left_behind(self, *, planned: bool) -> Iterator[tuple[str, list[str]]]:
        """What the application's stack leaves behind under a name that a new stack needs, and the
        command that deletes it.
        """
        for table in ("analytics", "notifications"):
            name = f"{self.name}-{table}"
            if self.commands.ask(
                *("aws", "dynamodb", "describe-table", "--table-name", name),
                *("--query", "Table.TableName", "--output", "text"),
                planned=name * planned,
                default="",
            ):
                yield f"the table {name}", ["dynamodb", "delete-table", "--table-name", name]
        for queue in ("dead-letters", "refusals"):
            name = f"{self.name}-{queue}"
            url = self.commands.ask(
                *("aws", "sqs", "get-queue-url", "--queue-name", name),
                *("--query", "QueueUrl", "--output", "text"),
                planned=f"<address of {name}>" * planned,
                default="",
            )
            if url:
                yield f"the queue {name}", ["sqs", "delete-queue", "--queue-url", url]
        name = f"{self.name}/signing-key"
        if self.commands.ask(
            *("aws", "secretsmanager", "describe-secret", "--secret-id", name),
            *("--query", "Name", "--output", "text"),
            planned=name * planned,
            default="",
        ):
            yield f"the secret {name}", deleting_secret(name)
        bucket = self.commands.ask(
            *("aws", "s3api", "list-buckets", "--output", "text", "--query"),
            f"Buckets[?starts_with(Name, '{self.name}-patient-files-')].Name",
            planned=f"{self.name}-patient-files-ACCOUNT" * planned,
        )
        if bucket:
            # With the files that are in it.
            yield f"the bucket {bucket}", ["s3", "rb", f"s3://{bucket}", "--force"]

    def deploy_stack(self, stack: str, what: str) -> None:
        """Deploy a stack of infrastructure, and learn its outputs."""
        title(f"{what} ({self.name}-{stack})")
        template = INFRASTRUCTURE / f"{stack}.yaml"
        self.commands.run(
            *("aws", "cloudformation", "deploy", "--no-fail-on-empty-changeset"),
            *("--stack-name", f"{self.name}-{stack}", "--template-file", relative(template)),
            *("--capabilities", "CAPABILITY_IAM"),
            *("--tags", f"patient-management={self.name}"),
            *("--parameter-overrides", *pairs(self.parameters_of(template))),
        )
        self.learn_outputs(f"{self.name}-{stack}", template)

    def parameters_of(self, template: Path) -> dict[str, str]:
        """What is known for the parameters of a template."""
        return {
            name: self.known[name]
            for name in names_in(template, "Parameters")
            if self.known.get(name) or name in self.given
        }

    def learn_outputs(self, stack: str, template: Path) -> None:
        """Add what a stack tells to what is known."""
        planned = {name: f"<{name}>" for name in names_in(template, "Outputs")}
        if not planned:
            return
        answer = self.commands.ask(
            *("aws", "cloudformation", "describe-stacks", "--stack-name", stack),
            *("--query", "Stacks[0].Outputs", "--output", "json"),
            planned="",
        )
        told = {
            each["OutputKey"]: each["OutputValue"] for each in json.loads(answer or "null") or []
        }
        # What was given has precedence: a restored database is at another address.
        self.known |= (planned if self.commands.plan else told) | self.given

    def push_billing_image(self) -> None:
        """Build the image of this revision, unless the registry has it, and learn its digest."""
        if "BillingImage" in self.given:
            return
        title("The image of the billing service")
        tool = self.options.container_tool
        repository = self.known["BillingRepository"]
        registry, _, path = repository.partition("/")
        revision = git("rev-parse", "--short=12", "HEAD")
        if git("status", "--porcelain") and not self.commands.plan:
            raise Failure("commit first: what is deployed is found by its revision")
        look = (
            *("aws", "ecr", "describe-images", "--repository-name"),
            *(path or repository, "--image-ids", f"imageTag={revision}"),
            *("--query", "imageDetails[0].imageDigest", "--output", "text"),
        )
        digest = self.commands.ask(*look, planned="", default="")
        if not digest:
            image = f"{repository}:{revision}"
            self.commands.run(
                *(tool, "build", "--platform", "linux/arm64", "--file", "Containerfile"),
                *("--build-arg", f"REVISION={git('rev-parse', 'HEAD')}", "--tag", image, "."),
            )
            password = self.commands.ask("aws", "ecr", "get-login-password", planned="")
            self.commands.run(
                *(tool, "login", "--username", "AWS", "--password-stdin"),
                registry if path else "<registry>",
                stdin=password,
            )
            self.commands.run(tool, "push", image)
            digest = self.commands.ask(*look, planned="sha256:<digest>")
        self.known["BillingImage"] = f"{repository}@{digest}"

    def learn_versions_of_secrets(self, template: Path) -> None:
        """Find out which version of each secret is the current one. A stack that names it changes
        when the secret does.
        """
        title("The versions of its secrets")
        for name in names_in(template, "Parameters"):
            if not name.endswith("SecretVersion") or name in self.given:
                continue
            arn = name.removesuffix("Version") + "Arn"
            self.known[name] = self.commands.ask(
                *("aws", "secretsmanager", "list-secret-version-ids"),
                *("--secret-id", self.known[arn]),
                *("--query", "Versions[?contains(VersionStages, 'AWSCURRENT')].VersionId | [0]"),
                *("--output", "text"),
                planned=f"<{name}>",
            )

    def deployed_before(self) -> Deployed | None:
        """The application as it is deployed now, for rolling back."""
        title("What is deployed now")
        body = self.commands.ask(
            *("aws", "cloudformation", "get-template", "--stack-name", self.name),
            *("--template-stage", "Original", "--query", "TemplateBody", "--output", "json"),
            planned="",
            default="",
        )
        if not body and not self.commands.plan:
            return None
        parameters = self.commands.ask(
            *("aws", "cloudformation", "describe-stacks", "--stack-name", self.name),
            *("--query", "Stacks[0].Parameters", "--output", "json"),
            planned="[]",
        )
        template = json.loads(body or '""')
        return Deployed(
            template if isinstance(template, str) else json.dumps(template),
            {
                each["ParameterKey"]: each["ParameterValue"]
                for each in json.loads(parameters) or []
                if each["ParameterValue"] != NO_ECHO
            },
        )

    def deploy_application(self) -> None:
        """Build and deploy all functions, with what the other stacks have told as parameters."""
        title(f"The application ({self.name})")
        template = REPOSITORY / "template.yaml"
        self.learn_secrets(template)
        self.learn_brokers()
        self.commands.run(
            *("sam", "build", "--config-env", "aws"),
            *("--parameter-overrides", f"Architecture={self.known['Architecture']}"),
        )
        parameters = self.parameters_of(template)
        with tempfile.TemporaryDirectory(prefix="deploy-") as folder:
            file = Path(folder, "parameters.yaml")
            file.touch(mode=0o600)
            # SAM reads YAML, and JSON is YAML.
            file.write_text(json.dumps(parameters))
            if self.commands.plan:
                for name, value in parameters.items():
                    print(f"    {name}: {value}")
            self.commands.run(
                *("sam", "deploy", "--config-env", "aws", "--stack-name", self.name),
                *("--s3-bucket", self.known["PackagesBucket"], "--s3-prefix", "application"),
                *("--parameter-overrides", "file://" + shown(file, self.commands.plan)),
                *("--tags", f"patient-management={self.name}"),
            )
        self.learn_outputs(self.name, template)

    def learn_brokers(self) -> None:
        """Ask MSK for the listeners of the brokers, which no stack tells."""
        if "KafkaBootstrapServers" in self.given:
            return
        listeners = BOOTSTRAP_BROKERS[self.given.get("KafkaAuthentication", "IAM")]
        self.known["KafkaBootstrapServers"] = self.commands.ask(
            *("aws", "kafka", "get-bootstrap-brokers", "--cluster-arn"),
            self.known["KafkaClusterArn"],
            *("--query", listeners, "--output", "text"),
            planned="<KafkaBootstrapServers>",
        )

    def learn_secrets(self, template: Path) -> None:
        """Read the secrets that parameters are for."""
        for name in names_in(template, "Parameters"):
            arn = self.known.get(f"{name}SecretArn")
            if arn and name not in self.given:
                self.known[name] = self.secret(arn, planned=f"<secret of {name}SecretArn>")

    def secret(self, arn: str, planned: str) -> str:
        """The value of a secret."""
        return self.commands.ask(
            *("aws", "secretsmanager", "get-secret-value", "--secret-id", arn),
            *("--query", "SecretString", "--output", "text"),
            planned=planned,
        )

    def provisioned(self) -> bool:
        """Finish the deployment: migrations, roles, topics, the key, the sender."""
        title("Migrations, database roles, topics, the signing key")
        try:
            self.invoke("provision")
        except Failure as failure:
            print(f"  {failure}", file=sys.stderr)
            return False
        return True

    def invoke(self, function: str) -> None:
        """Invoke a function of the application, and fail if it fails."""
        with tempfile.TemporaryDirectory(prefix="deploy-") as folder:
            answer = Path(folder, f"{function}.json")
            error = self.commands.ask(
                *("aws", "lambda", "invoke", "--function-name", f"{self.name}-{function}"),
                *("--cli-read-timeout", "0", "--query", "FunctionError", "--output", "text"),
                shown(answer, self.commands.plan),
                planned="None",
            )
            if error != "None":
                said = answer.read_text() if answer.exists() else ""
                raise Failure(f"{function} failed: {said}")

    # ------------------------------------------------------------ whether it works

    def works(self, on_before: set[str]) -> bool:
        """Whether the API answers, and no alarm begins for a while that was not on before."""
        title("Smoke test")
        api = self.known["ApiUrl"]
        for path in ("/health", "/openapi.json"):
            print("  GET", api + path, flush=True)
            if not self.commands.plan and not answers(api + path):
                return False
        return self.stays_quiet(on_before)

    def stays_quiet(self, on_before: set[str]) -> bool:
        """Whether no alarm begins for a while. One that was on before may stay on for now, or a
        repair would be rolled back at once; by the end it has to be off.
        """
        minutes = self.options.watch
        if not minutes:
            return True
        print(f"  for {minutes} minutes, once a minute:")
        since: dict[str, str] = {}
        for minute in range(1 if self.commands.plan else minutes + 1):
            if minute:
                time.sleep(60)
            on = self.alarms_that_are_on()
            if not minute:
                since = {name: when for name, when in on.items() if name in on_before}
            # It has ended and begun again if it is on since another moment.
            new = [name for name, when in on.items() if (name, when) not in since.items()]
            if new:
                print(f"  these alarms are on after {minute} minutes: {', '.join(new)}")
                return False
        if on:
            print(f"  these alarms were on before and still are: {', '.join(on)}")
        return not on

    def alarms_that_are_on(self) -> dict[str, str]:
        """Those that roll back, and since when they are on."""
        answer = self.commands.ask(
            *("aws", "cloudwatch", "describe-alarms", "--state-value", "ALARM"),
            *("--query", "MetricAlarms[].[AlarmName, StateTransitionedTimestamp]"),
            *("--output", "json", "--alarm-names"),
            *(f"{self.name}-{alarm}" for alarm in ROLL_BACK_ON),
            planned="[]",
        )
        return dict(json.loads(answer))

    def roll_back(self, before: Deployed | None) -> None:
        """Deploy the functions that were there before, with the parameters of then. The schema
        stays as it is now: every release runs on the schema of the next.
        """
        if not before:
            raise Failure("it does not work, and there is nothing to go back to")
        if before.parameters.get("DatabaseAuthentication") != "IAM":
            raise Failure(
                "it does not work, and there is no way back: services had passwords for the "
                "database before, which open nothing any more once provision has begun. Look at "
                "what does not work, and deploy again with --watch 0"
            )
        title("It does not work: back to what was deployed before")
        with tempfile.TemporaryDirectory(prefix="deploy-") as folder:
            file = Path(folder, "before.yaml")
            file.write_text(before.template)
            done = self.commands.run(
                *("aws", "cloudformation", "deploy", "--stack-name", self.name),
                *("--template-file", str(file), "--no-fail-on-empty-changeset"),
                *("--s3-bucket", self.known["PackagesBucket"], "--s3-prefix", "application"),
                *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
                *("--parameter-overrides", *pairs(before.parameters)),
                unless_it_fails=False,
            )
        if not done:
            raise Failure("it does not work, and neither did rolling back: see above")
        health = self.known["ApiUrl"] + "/health"
        print("  GET", health, flush=True)
        if not answers(health):
            raise Failure(
                "rolled back to the deployment before this one, which does not answer either: "
                "look at its log, and whether the token has changed or services had passwords for "
                "the database then, which is not rolled back"
            )
        raise Failure("rolled back: the deployment before this one answers again")

    # ------------------------------------------------------------ tearing down

    def destroy(self) -> None:
        """Delete what holds no data; with --delete-data, also the data."""
        if self.options.delete_data and not self.commands.plan:
            typed = input(f"This deletes all data of {self.name}. Type its name to go on: ")
            if typed != self.name:
                raise Failure("nothing was deleted")
        for stack in (f"{self.name}-operations", self.name, f"{self.name}-billing"):
            self.delete_stack(stack)
        if self.options.delete_data:
            self.delete_data()
            # Lambda takes up to 40 minutes to give back its addresses there.
            self.delete_stack(f"{self.name}-network")
            print("\nWhat is left is in docs/operations.md, under Tearing down.")
        else:
            print(f"\n{self.name}-data stays, and {self.name}-network, which it is in.")

    def delete_stack(self, stack: str) -> None:
        """Delete a stack, and wait until it is gone."""
        title(f"Deleting {stack}")
        self.commands.run("aws", "cloudformation", "delete-stack", "--stack-name", stack)
        self.commands.run(
            *("aws", "cloudformation", "wait", "stack-delete-complete", "--stack-name", stack)
        )

    def delete_data(self) -> None:
        """Take the protection away, delete the stack, then what the stacks leave behind. All of it
        may be repeated, and none of it needs a stack that was deployed to its end.
        """
        stack = f"{self.name}-data"
        title("Letting go of the database")
        there = self.resources_of(stack)
        for kind, name in (("instance", "Database"), ("cluster", "Cluster")):
            if name in there:
                self.commands.run(
                    *("aws", "rds", f"modify-db-{kind}", f"--db-{kind}-identifier", there[name]),
                    *("--no-deletion-protection", "--apply-immediately"),
                )
        if "Kafka" in there:
            title("Deleting Kafka, whose configuration cannot go before it")
            self.delete_kafka(there["Kafka"])
        self.delete_stack(stack)
        title("Deleting what the stacks leave behind")
        secrets = names_in(INFRASTRUCTURE / "data.yaml", "Resources")
        for name, lines in secrets.items():
            if name in there and "Type: AWS::SecretsManager::Secret" in lines:
                self.commands.run("aws", *deleting_secret(there[name]))
        for _, command in self.left_behind(planned=True):
            self.commands.run("aws", *command)

    def resources_of(self, stack: str) -> dict[str, str]:
        """The names of the resources that a stack has, by those in its template. After a failure,
        it has some of them, and no outputs.
        """
        other_size = {"economy": "Cluster", "hospital": "Database"}[self.options.size]
        template = names_in(INFRASTRUCTURE / "data.yaml", "Resources")
        planned = [[name, f"<{name}>"] for name in template if name != other_size]
        answer = self.commands.ask(
            *("aws", "cloudformation", "describe-stack-resources", "--stack-name", stack),
            "--query",
            "StackResources[?ResourceStatus!='DELETE_COMPLETE' && PhysicalResourceId]"
            ".[LogicalResourceId, PhysicalResourceId]",
            *("--output", "json"),
            planned=json.dumps(planned),
            default="[]",
        )
        return dict(json.loads(answer))

    def delete_kafka(self, arn: str) -> None:
        """Delete the brokers, unless somebody has, and wait until they are gone."""
        look = (
            *("aws", "kafka", "describe-cluster-v2", "--cluster-arn", arn),
            *("--query", "ClusterInfo.State", "--output", "text"),
        )
        if self.commands.ask(*look, planned="ACTIVE", default="") not in {"", "DELETING"}:
            self.commands.run("aws", "kafka", "delete-cluster", "--cluster-arn", arn)
        while self.commands.ask(*look, planned="", default=""):
            time.sleep(30)


def deleting_secret(name: str) -> list[str]:
    """The command that deletes a secret at once, so that its name is free."""
    command = ["secretsmanager", "delete-secret", "--force-delete-without-recovery"]
    return [*command, "--secret-id", name]


def answers(url: str) -> bool:
    """Whether the URL is answered with a 200 before long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=20) as response:
                if response.status == 200:
                    return True
        except (OSError, http.client.HTTPException) as error:
            print(f"    {error}", flush=True)
        time.sleep(5)
    return False


def git(*arguments: str) -> str:
    """What git says of the repository."""
    ended = subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    return ended.stdout.strip()


def pairs(parameters: dict[str, str]) -> list[str]:
    """Parameters as the AWS CLI takes them."""
    return [f"{name}={value}" for name, value in parameters.items()]


def relative(path: Path) -> str:
    """The path within the repository, where commands are run."""
    return str(path.relative_to(REPOSITORY))


def shown(path: Path, plan: bool) -> str:
    """A temporary file; the same in every plan."""
    return f"<private file {path.name}>" if plan else str(path)


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="make deploy-aws", description="Deploys the whole system to AWS."
    )
    parser.add_argument("--plan", action="store_true", help="print the commands, and run none")
    parser.add_argument("--size", choices=["economy", "hospital"], required=True)
    parser.add_argument("--name", default="patient-management", help="what all names begin with")
    parser.add_argument("--stage", help="is added to the name, such as `test`")
    parser.add_argument("--region", help="instead of that of your AWS configuration")
    parser.add_argument("--domain", help="a domain of yours; `billing.` is put before it")
    parser.add_argument("--certificate-arn", help="a certificate of ACM for billing.<domain>")
    parser.add_argument("--alarm-email", default="", help="who is told of alarms")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any other parameter"
    )
    parser.add_argument(
        "--watch", type=int, default=5, help="for how many minutes alarms roll back (%(default)s)"
    )
    parser.add_argument("--container-tool", default="docker", help="docker, podman or buildah")
    parser.add_argument("--destroy", action="store_true", help="delete all that holds no data")
    parser.add_argument("--delete-data", action="store_true", help="with --destroy: the data, too")
    parser.add_argument("--tool", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.delete_data and not options.destroy:
        parser.error("--delete-data is for --destroy")
    if not options.destroy and not (options.domain and options.certificate_arn):
        parser.error("--domain and --certificate-arn are needed, except for --destroy")
    if any("=" not in pair for pair in options.set):
        parser.error("--set takes NAME=VALUE")
    return options


def main(arguments: Sequence[str]) -> int:
    """Do what was asked for."""
    options = options_of(arguments)
    try:
        deployment = Deployment(options)
        if options.destroy:
            deployment.destroy()
        else:
            deployment.deploy()
    except Failure as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
