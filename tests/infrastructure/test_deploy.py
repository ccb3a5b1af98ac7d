"""What `make deploy-aws` would run."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tomllib
import urllib.error

import deploy
import pytest
from stacks import REPOSITORY, SIZES, STACKS, System

CERTIFICATE = "arn:aws:acm:eu-central-1:111122223333:certificate/one"
ARGUMENTS = ["--domain", "clinic.example", "--certificate-arn", CERTIFICATE]
SENDER = ["--set", "NotificationsSender=clinic@clinic.example"]

SCRAM = ["--set", "KafkaAuthentication=SCRAM"]


def plan(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The plan, without account, credentials and network."""
    script = str(REPOSITORY / "infrastructure/deploy.py")
    return subprocess.run(
        [sys.executable, script, "--plan", *arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )


def commands(*arguments: str) -> list[str]:
    """The commands of a plan that succeeds."""
    ended = plan(*arguments)
    assert ended.returncode == 0, ended.stderr
    return [
        line.removeprefix("  $ ") for line in ended.stdout.splitlines() if line.startswith("  $ ")
    ]


@pytest.mark.parametrize("size", SIZES)
def test_the_stacks_come_in_order(size: str) -> None:
    """Each after those whose outputs it takes, and the image before the service that runs it."""
    steps = [
        "deploy --no-fail-on-empty-changeset --stack-name patient-management-network ",
        "deploy --no-fail-on-empty-changeset --stack-name patient-management-data ",
        "docker build ",
        "docker push ",
        "deploy --no-fail-on-empty-changeset --stack-name patient-management-billing ",
        "get-template ",
        "cloudwatch describe-alarms ",
        "sam build ",
        "sam deploy ",
        "lambda invoke --function-name patient-management-provision ",
        "deploy --no-fail-on-empty-changeset --stack-name patient-management-operations ",
        "lambda invoke --function-name patient-management-verify-audit-trail ",
    ]
    lines = commands("--size", size, *ARGUMENTS, *SENDER)
    places = [
        next(place for place, line in enumerate(lines) if step in line + " ") for step in steps
    ]
    assert places == sorted(places)
    assert all(f"Size={size}" in line for line in lines if "--parameter-overrides Name=" in line)


@pytest.mark.parametrize("size", SIZES)
def test_every_parameter_is_passed(size: str) -> None:
    """To the stack that has it, from the output or the option of that name."""
    output = plan("--size", size, *ARGUMENTS, *SENDER).stdout
    system = System.of(size)
    for stack in STACKS:
        for name, parameter in system.stacks[stack].template.get("Parameters", {}).items():
            if "Default" not in parameter:
                assert f"{name}=" in output or f"    {name}: " in output, f"{stack}: {name}"
    assert "BillingDomain=billing.clinic.example" in output
    assert f"CertificateArn={CERTIFICATE}" in output
    assert "NotificationsSender: clinic@clinic.example" in output


def test_what_is_given_has_precedence() -> None:
    """A database that was restored is at another address, and has another owner."""
    restored = set_(
        DatabaseAddress="restored:5432/db", DatabaseOwnerSecretArn="arn", DatabaseResourceId="db-R"
    )
    output = plan("--size", "economy", *ARGUMENTS, *SENDER, *restored).stdout
    assert "DatabaseAddress=restored:5432/db" in output
    assert "    DatabaseAddress: restored:5432/db" in output
    assert "    DatabaseOwnerSecretArn: arn" in output
    assert "DatabaseResourceId=db-R" in output
    assert "    DatabaseResourceId: db-R" in output
    assert "<DatabaseAddress>" not in output


def set_(**given: str) -> list[str]:
    """Options that say these parameters."""
    return [word for name, value in given.items() for word in ("--set", f"{name}={value}")]


def test_what_is_given_is_not_computed() -> None:
    """Brokers and addresses may be others than those of the stacks."""
    given = {
        "KafkaBootstrapServers": "broker:9096",
        "BillingImage": "mine@sha256:" + "0" * 64,
        "FunctionConcurrency": "0",
        "AlarmEmail": "me@clinic.example",
        "BillingDomain": "money.clinic.example",
        "AllowedOrigins": "",
    }
    output = plan("--size", "economy", *ARGUMENTS, *SENDER, *set_(**given)).stdout
    for name, value in given.items():
        assert f"{name}={value}" in output or f"    {name}: {value}\n" in output, name
    assert "get-bootstrap-brokers" not in output
    assert "docker" not in output


def test_brokers_are_asked_for_the_listeners_that_are_used() -> None:
    """Those for passwords are others than those for roles."""
    scram = set_(KafkaAuthentication="SCRAM", KafkaClusterArn="arn", KafkaSecretArn="arn")
    lines = commands("--size", "economy", *ARGUMENTS, *SENDER, *scram)
    asked = [line for line in lines if "get-bootstrap-brokers" in line]
    assert len(asked) == 1
    assert "--cluster-arn arn --query BootstrapBrokerStringSaslScram" in asked[0]


def test_the_billing_service_learns_of_another_secret() -> None:
    """By its version: nothing else changes when a secret does."""
    made, _ = deployment({"--secret-id arn:token ": "v2"})
    made.known |= {"BillingTokenSecretArn": "arn:token"}
    template = REPOSITORY / "infrastructure/billing.yaml"
    made.learn_versions_of_secrets(template)
    parameters = made.parameters_of(template)
    assert parameters["BillingTokenSecretVersion"] == "v2"


def test_no_secret_is_on_a_command_line() -> None:
    """Not even its place: secrets are in a file."""
    for line in commands("--size", "economy", *ARGUMENTS, *SENDER):
        assert "<password>" not in line
        assert "<secret of" not in line


def test_a_stage_is_a_deployment_of_its_own() -> None:
    """All of its stacks have another name."""
    lines = commands("--size", "economy", "--stage", "production", *ARGUMENTS, *SENDER)
    names = {
        word
        for line in lines
        for before, word in zip(line.split(), line.split()[1:], strict=False)
        if before == "--stack-name"
    }
    assert names
    assert all(name.startswith("patient-management-production") for name in names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "economy"], "--domain and --certificate-arn are needed"),
        (["--size", "economy", *ARGUMENTS], "say --set NAME=VALUE for: NotificationsSender"),
        (["--size", "economy", *ARGUMENTS, *SENDER, "--set", "Colour=red"], "parameter Colour"),
        (["--size", "economy", "--name", "Ours", *ARGUMENTS, *SENDER], "Ours is not a name"),
        (["--size", "economy", *ARGUMENTS, *SENDER, "--set", "Size=huge"], "say --size instead"),
        (["--size", "economy", *ARGUMENTS, *SENDER, "--set", "BillingToken=x"], "from its secret"),
        (["--size", "economy", *ARGUMENTS, *SENDER, *SCRAM], "say KafkaClusterArn as well"),
        (
            ["--size", "economy", *ARGUMENTS, *SENDER, *SCRAM, "--set", "KafkaClusterArn="],
            "say --set KafkaBootstrapServers",
        ),
        (["--size", "huge", *ARGUMENTS, *SENDER], "invalid choice"),
        (["--size", "economy", *ARGUMENTS, *SENDER, "--delete-data"], "is for --destroy"),
    ],
)
def test_what_is_wrong_is_said_first(arguments: list[str], message: str) -> None:
    """Before anything is deployed."""
    ended = plan(*arguments)
    assert ended.returncode != 0
    assert message in ended.stderr
    assert "  $ " not in ended.stdout


def test_destroying_keeps_the_data() -> None:
    """And the network that it is in."""
    lines = commands("--size", "hospital", "--destroy")
    deleted = [line.split()[-1] for line in lines if " delete-stack " in line]
    assert deleted == [
        "patient-management-operations",
        "patient-management",
        "patient-management-billing",
    ]
    assert not any("rds" in line or "delete-table" in line for line in lines)


@pytest.mark.parametrize(("size", "kind"), [("economy", "instance"), ("hospital", "cluster")])
def test_data_is_deleted_when_asked_to(size: str, kind: str) -> None:
    """The database with a last snapshot, as its policy says; then what the stacks leave behind."""
    lines = commands("--size", size, "--destroy", "--delete-data")
    deleted = [line.split()[-1] for line in lines if " delete-stack " in line]
    assert deleted[-2:] == ["patient-management-data", "patient-management-network"]
    assert any(f"modify-db-{kind} " in line and "no-deletion-protection" in line for line in lines)
    assert sum(" modify-db-" in line for line in lines) == 1
    names = " ".join(line for line in lines if "delete-" in line)
    for left in ("-analytics", "-notifications", "-dead-letters", "-refusals", "/signing-key"):
        assert f"patient-management{left}" in names, left
    assert any("s3 rb s3://patient-management-patient-files-" in line for line in lines)
    assert not any("delete-db" in line for line in lines)


def test_a_data_stack_that_was_never_finished_can_be_deleted() -> None:
    """It has no outputs, and not all of its resources; the protected database is one of them."""
    rest = '[["Database", "the-database"], ["BillingToken", "arn:token"]]'
    made, ran = deployment({"describe-stacks": "null", "describe-stack-resources": rest})
    made.delete_data()
    assert "--db-instance-identifier the-database --no-deletion-protection" in ran.ran[1]
    assert not [line for line in ran.ran if "<Kafka" in line or " kafka " in line]
    deleted = [line.split()[-1] for line in ran.ran if "delete-secret" in line]
    assert deleted == ["arn:token", "patient-management/signing-key"]
    assert not any("<" in line.replace("<address of", "") for line in ran.ran)


def test_deleting_data_may_be_repeated() -> None:
    """When the stack, and some of what it left, is gone already."""
    gone = dict.fromkeys(
        [
            *("describe-table", "get-queue-url", "describe-secret", "describe-cluster-v2"),
            "list-buckets",
        ],
        "",
    )
    made, ran = deployment(gone | {"describe-stack-resources": '[["Kafka", "arn:kafka"]]'})
    made.delete_data()
    deleting = [line for line in ran.ran if " delete-" in line or " rb " in line]
    assert deleting == ["aws cloudformation delete-stack --stack-name patient-management-data"]


def test_no_name_of_a_plan_is_used_for_a_stack_without_outputs() -> None:
    """What is not known must not be made up."""
    made, _ = deployment({"describe-stacks": "null"})
    made.learn_outputs("patient-management-data", REPOSITORY / "infrastructure/data.yaml")
    assert "KafkaClusterArn" not in made.known


@pytest.mark.parametrize(
    ("state", "stack", "advice"),
    [
        ("ROLLBACK_FAILED", "-data", "with --destroy --delete-data"),
        ("ROLLBACK_COMPLETE", "-network", "`aws cloudformation delete-stack --stack-name "),
        ("REVIEW_IN_PROGRESS", "-billing", "`aws cloudformation delete-stack --stack-name "),
        ("ROLLBACK_COMPLETE", "", "`aws cloudformation delete-stack --stack-name "),
        ("DELETE_FAILED", "-operations", "could not be deleted"),
        ("UPDATE_ROLLBACK_FAILED", "", "continue-update-rollback --stack-name "),
    ],
)
def test_a_stack_that_is_stuck_is_noticed_first(state: str, stack: str, advice: str) -> None:
    """With what leads out of it."""
    name = f"patient-management{stack}"
    made, ran = deployment({f"--stack-name {name} ": state, "describe-stacks": "UPDATE_COMPLETE"})
    with pytest.raises(deploy.Failure) as failure:
        made.deploy()
    assert f"{name} is in the state {state}" in str(failure.value)
    assert advice in str(failure.value)
    assert all("describe-stacks" in line for line in ran.ran)


def test_what_a_deleted_stack_has_left_is_noticed_first() -> None:
    """Its names are taken."""
    left = {"describe-table": "", "queue-name patient-management-refusals": "https://queue"}
    gone = {"get-queue-url": "", "describe-secret": "patient-management/signing-key"}
    gone |= {"list-buckets": "patient-management-patient-files-123456789012"}
    made, ran = deployment(left | gone)
    with pytest.raises(deploy.Failure) as failure:
        made.deploy()
    assert (
        "has left the queue patient-management-refusals, "
        "the secret patient-management/signing-key, "
        "the bucket patient-management-patient-files-123456789012:"
        in str(failure.value)
    )
    assert not any("cloudformation deploy" in line for line in ran.ran)
    deployed, ran = deployment(left | gone | {"describe-stacks": "UPDATE_COMPLETE"})
    deployed.check_what_is_there()
    assert not any("describe-table" in line for line in ran.ran)


def test_only_what_does_not_exist_is_nothing() -> None:
    """Whoever may not ask does not know."""
    commands_ = deploy.Commands(plan=False, prefix=[], region=None)
    for message in ("Stack with id a does not exist", "NotFoundException", "NonExistentQueue"):
        answer = commands_.ask("sh", "-c", f"echo {message} >&2; exit 1", planned="", default="")
        assert answer == ""
    with pytest.raises(deploy.Failure):
        commands_.ask("sh", "-c", "echo ExpiredToken >&2; exit 1", planned="", default="")


def test_data_is_not_deleted_without_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed by somebody."""
    options = deploy.options_of(["--size", "economy", "--destroy", "--delete-data"])
    deployment = deploy.Deployment(options)
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    with pytest.raises(deploy.Failure, match="nothing was deleted"):
        deployment.destroy()


class Answers(deploy.Commands):
    """Commands that are answered here, to see what follows from the answers."""

    def __init__(self, answers: dict[str, str | list[str]]) -> None:
        """Answer whatever contains a key; if there are several answers, one after the other."""
        super().__init__(plan=False, prefix=[], region=None)
        self.answers = answers
        self.ran: list[str] = []

    def run(self, *command: str, **_: object) -> bool:
        """Succeed."""
        self.ran.append(" ".join(command))
        return True

    def ask(self, *command: str, planned: str, default: str | None = None) -> str:
        """Answer."""
        line = " ".join(command)
        self.ran.append(line)
        answer = next((each for key, each in self.answers.items() if key in line), planned)
        return answer.pop(0) if isinstance(answer, list) else answer


def deployment(answers: dict[str, str | list[str]]) -> tuple[deploy.Deployment, Answers]:
    """A deployment whose commands are answered here."""
    options = deploy.options_of(["--size", "economy", "--watch", "1", *ARGUMENTS, *SENDER])
    made = deploy.Deployment(options)
    commands_ = Answers(answers)
    made.commands = commands_
    made.known |= {"PackagesBucket": "packages", "ApiUrl": "https://api"}
    return made, commands_


SERVER_ERRORS = '[["patient-management-server-errors", "2026-11-30T05:00:00Z"]]'
SERVER_ERRORS_AGAIN = SERVER_ERRORS.replace("05:00", "06:00")
AUTHORIZER_FAILS = SERVER_ERRORS.replace("server-errors", "authorizer-fails")


@pytest.mark.parametrize(
    ("minutes", "quiet"),
    [
        ([SERVER_ERRORS, SERVER_ERRORS, "[]"], True),
        ([SERVER_ERRORS, "[]", "[]"], True),
        ([SERVER_ERRORS, SERVER_ERRORS, SERVER_ERRORS], False),
        ([SERVER_ERRORS, SERVER_ERRORS_AGAIN], False),
        (["[]", SERVER_ERRORS], False),
        ([SERVER_ERRORS, AUTHORIZER_FAILS], False),
        ([AUTHORIZER_FAILS], False),
        (['[["patient-management-authorizer-fails", null]]'], False),
    ],
    ids=[
        "it ends in time",
        "it ends at once",
        "it never ends",
        "it ends and begins within a minute",
        "it begins",
        "another one begins",
        "another one is on",
        "another one is on, and nobody says since when",
    ],
)
def test_a_repair_is_not_rolled_back(
    minutes: list[str], quiet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm that is on already ends some minutes after its cause is gone."""
    made, ran = deployment({"describe-alarms": minutes})
    made.options.watch = 2
    monkeypatch.setattr(deploy.time, "sleep", lambda _: None)
    assert made.stays_quiet({"patient-management-server-errors"}) is quiet
    assert not minutes
    assert "StateTransitionedTimestamp" in ran.ran[0]


BEFORE = deploy.Deployed(
    "Resources: {}", {"DatabaseAuthentication": "IAM", "RequestsPerSecond": "200"}
)


def test_what_was_deployed_before_has_parameters() -> None:
    """All that CloudFormation shows: the new ones may be what is wrong."""
    parameters = [
        {"ParameterKey": "DatabaseAuthentication", "ParameterValue": "IAM"},
        {"ParameterKey": "RequestsPerSecond", "ParameterValue": "200"},
        {"ParameterKey": "BillingToken", "ParameterValue": "****"},
    ]
    made, ran = deployment(
        {"get-template": '"Resources: {}"', "describe-stacks": json.dumps(parameters)}
    )
    assert made.deployed_before() == BEFORE
    assert "Stacks[0].Parameters" in ran.ran[-1]


def test_rolling_back_brings_the_parameters_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudFormation would take those of the attempt otherwise."""
    made, ran = deployment({})
    monkeypatch.setattr(deploy, "answers", lambda _: True)
    with pytest.raises(deploy.Failure, match="before this one answers again"):
        made.roll_back(BEFORE)
    assert ran.ran[-1].endswith(
        "--parameter-overrides DatabaseAuthentication=IAM RequestsPerSecond=200"
    )


def test_there_is_no_way_back_to_passwords_that_open_nothing() -> None:
    """The functions of before could not log in, and nothing at all would work."""
    made, ran = deployment({})
    before = deploy.Deployed("Resources: {}", {"RequestsPerSecond": "200"})
    with pytest.raises(deploy.Failure, match="no way back"):
        made.roll_back(before)
    assert not ran.ran


def test_a_region_whose_certificates_nobody_knows_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise everything would be there before the first function fails."""
    made, _ = deployment({})
    monkeypatch.setattr(made.commands, "environment", {"AWS_REGION": "eu-central-1"}, raising=False)
    made.check_what_is_given()
    monkeypatch.setattr(made.commands, "environment", {"AWS_REGION": "us-gov-west-1"})
    with pytest.raises(deploy.Failure, match="us-gov-west-1"):
        made.check_what_is_given()


def test_rolling_back_does_not_claim_what_it_has_not_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deployment before may have another fault, or not come back at all."""
    made, ran = deployment({})
    monkeypatch.setattr(deploy, "answers", lambda _: False)
    with pytest.raises(deploy.Failure, match="does not answer either"):
        made.roll_back(BEFORE)
    monkeypatch.setattr(ran, "run", lambda *_, **__: False)
    with pytest.raises(deploy.Failure, match="neither did rolling back"):
        made.roll_back(BEFORE)


def test_the_audit_trail_is_verified_however_often_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a first try that failed, there is something that was deployed before."""
    made, ran = deployment({"lambda invoke": "None"})
    monkeypatch.setattr(made, "deployed_before", lambda: BEFORE)
    for step in (
        *("deploy_stack", "deploy_application", "push_billing_image"),
        "learn_versions_of_secrets",
    ):
        monkeypatch.setattr(made, step, lambda *_: None)
    monkeypatch.setattr(made, "works", lambda _: True)
    made.deploy()
    assert "patient-management-verify-audit-trail" in ran.ran[-1]


def test_an_alarm_rolls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the template that was deployed before."""
    made, ran = deployment({"describe-alarms": SERVER_ERRORS})
    monkeypatch.setattr(deploy, "answers", lambda _: True)
    assert not made.works(set())
    with pytest.raises(deploy.Failure, match="rolled back"):
        made.roll_back(BEFORE)
    assert "cloudformation deploy --stack-name patient-management " in ran.ran[-1]


def test_an_api_that_does_not_answer_rolls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for an alarm."""
    made, ran = deployment({})
    monkeypatch.setattr(deploy, "answers", lambda url: not url.endswith("/health"))
    assert not made.works(set())
    assert not ran.ran


def test_a_migration_that_fails_rolls_back() -> None:
    """The functions would run on a schema that is not theirs."""
    made, _ = deployment({"lambda invoke": "Unhandled"})
    assert not made.provisioned()


def test_a_first_deployment_has_nothing_to_go_back_to() -> None:
    """It stays as it is, to be looked at."""
    made, ran = deployment({})
    with pytest.raises(deploy.Failure, match="nothing to go back to"):
        made.roll_back(None)
    assert not ran.ran


def test_nobody_who_deploys_reads_a_password_of_the_database() -> None:
    """The owner's is for `provision` to read, and services have none."""
    lines = commands("--size", "economy", *ARGUMENTS, *SENDER)
    read = [line for line in lines if "get-secret-value" in line]
    assert len(read) == 1
    assert "<BillingTokenSecretArn>" in read[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DatabaseAuthentication", "PASSWORD"),
        ("PatientsDatabasePassword", "a-password-of-mine"),
        ("DatabaseOwnerUrl", "postgres://me@there:5432/db"),
    ],
)
def test_the_database_of_the_stacks_takes_no_passwords(name: str, value: str) -> None:
    """Whoever says one would believe that it is used."""
    refused = plan("--size", "economy", *ARGUMENTS, *SENDER, *set_(**{name: value}))
    assert refused.returncode == 1
    assert "By hand" in refused.stderr


class Answer:
    """An answer with a 200."""

    status = 200

    def __enter__(self) -> Answer:
        """As it is."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(
    "trouble",
    [
        urllib.error.URLError("no such name"),
        TimeoutError(),
        ConnectionResetError(),
        http.client.RemoteDisconnected(),
        http.client.BadStatusLine(""),
    ],
    ids=lambda it: type(it).__name__,
)
def test_whatever_goes_wrong_is_tried_again(
    trouble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection may break at any time, above all right after a deployment."""
    answers = [trouble, Answer()]

    def urlopen(*_: object, **__: object) -> Answer:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(deploy.urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(deploy.time, "sleep", lambda _: None)
    assert deploy.answers("https://api/health")
    assert not answers


def test_the_region_is_that_of_the_option() -> None:
    """Whatever the environment says."""
    options = deploy.options_of(["--size", "economy", "--region", "eu-central-1", *ARGUMENTS])
    environment = deploy.Deployment(options).commands.environment
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "eu-central-1"


def test_sam_asks_nobody() -> None:
    """A pipeline could not answer, and a deployment without changes is no error."""
    settings = tomllib.loads((REPOSITORY / "samconfig.toml").read_text())["aws"]
    assert settings["deploy"]["parameters"] == {
        "capabilities": "CAPABILITY_IAM",
        "confirm_changeset": False,
        "fail_on_empty_changeset": False,
    }
    sam = [line for line in commands("--size", "economy", *ARGUMENTS, *SENDER) if "sam " in line]
    assert sam
    assert all("--config-env aws" in line for line in sam)
