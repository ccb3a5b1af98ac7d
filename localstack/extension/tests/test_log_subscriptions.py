"""Lines that match a subscription's pattern are delivered to its function, once if it succeeds."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from patient_stack.log_subscriptions.filter_pattern import UnknownPattern, compile_pattern
from rest_api import AUTHORIZER, BACKEND, RestApi, route, token
from sam import deploy, function, upload
from stack import LocalStack, python_function, wait_until

# Appends its event to a file. While there is a file `hold`, it waits; it fails afterwards as many
# times as the file `failures` says.
READER = python_function(
    """
folder = os.environ["FOLDER"]
with open(folder + "/calls", "a") as calls:
    calls.write(json.dumps(event) + "\\n")
while os.path.exists(folder + "/hold"):
    time.sleep(0.01)
failures = folder + "/failures"
if os.path.exists(failures):
    left = int(open(failures).read())
    if left:
        open(failures, "w").write(str(left - 1))
        raise RuntimeError("not now")
"""
)
REFUSED = '{ ($.kind = "DENIED") || ($.kind = "UNKNOWN") }'


@dataclass
class Reader:
    """A function that is subscribed to a log group, and the group."""

    localstack: LocalStack
    folder: Path
    name: str
    group: str

    def subscribe(self, pattern: str, name: str = "reader") -> None:
        """Subscribe to matching lines."""
        arn = self.localstack.client("lambda").get_function(FunctionName=self.name)
        self.localstack.client("logs").put_subscription_filter(
            logGroupName=self.group,
            filterName=name,
            filterPattern=pattern,
            destinationArn=arn["Configuration"]["FunctionArn"],
        )

    def write(self, *messages: str, stream: str = "stream") -> None:
        """Write lines to the group."""
        logs = self.localstack.client("logs")
        events = [{"timestamp": int(time.time() * 1000), "message": text} for text in messages]
        place = {"logGroupName": self.group, "logStreamName": stream}
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(**place)
        logs.put_log_events(**place, logEvents=events)

    def calls(self) -> list[dict[str, Any]]:
        """The function's events so far."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        packed = (json.loads(line)["awslogs"]["data"] for line in lines)
        return [json.loads(gzip.decompress(base64.b64decode(data))) for data in packed]

    def messages(self) -> list[str]:
        """The lines that the function has received so far."""
        return [event["message"] for call in self.calls() for event in call["logEvents"]]

    def waits_for(self, count: int) -> list[dict[str, Any]]:
        """The calls, once there are this many."""
        found = wait_until(
            lambda: calls if len(calls := self.calls()) >= count else [], f"{count} calls"
        )
        assert len(found) == count
        return found


@pytest.fixture
def reader(localstack: LocalStack, tmp_path: Path) -> Reader:
    """A new function and log group for the test."""
    group = f"group-{uuid.uuid4().hex[:8]}"
    localstack.client("logs").create_log_group(logGroupName=group)
    name = localstack.create_function(READER, environment={"FOLDER": str(tmp_path)})
    return Reader(localstack, tmp_path, name, group)


def line(kind: str, **other: Any) -> str:
    """A JSON line of this kind."""
    return json.dumps({"kind": kind, **other})


def test_matching_lines_are_delivered_once(reader: Reader) -> None:
    """In AWS's form, with distinct ids, and nothing else."""
    reader.subscribe(REFUSED)
    denied, unknown = line("DENIED", n=1), line("UNKNOWN", n=2)
    reader.write(line("FINE"), denied, "not JSON: DENIED", unknown, "[]", '"DENIED"')
    reader.write(line("FINE"))
    reader.write(line("DENIED", n=3), stream="another")

    # Calls do not wait for each other, so either may be first.
    second, first = sorted(reader.waits_for(2), key=lambda call: call["logStream"])
    assert {**first, "logEvents": None} == {
        "messageType": "DATA_MESSAGE",
        "owner": "000000000000",
        "logGroup": reader.group,
        "logStream": "stream",
        "subscriptionFilters": ["reader"],
        "logEvents": None,
    }
    assert [event["message"] for event in first["logEvents"]] == [denied, unknown]
    assert second["logStream"] == "another"
    events = [*first["logEvents"], *second["logEvents"]]
    assert len({event["id"] for event in events}) == 3
    assert all(isinstance(event["timestamp"], int) for event in events)


def test_streams_can_be_created_before_and_after_the_subscription(reader: Reader) -> None:
    """An existing stream cannot be created again."""
    reader.write("before", stream="old")
    reader.subscribe("")
    reader.write("after", stream="old")
    reader.write("new", stream="new")
    reader.waits_for(2)
    assert sorted(reader.messages()) == ["after", "new"]
    logs = reader.localstack.client("logs")
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=reader.group, logStreamName="new")
    stored = logs.filter_log_events(logGroupName=reader.group)["events"]
    assert sorted(event["message"] for event in stored) == ["after", "before", "new"]


def test_two_subscriptions_do_not_interfere(reader: Reader) -> None:
    """Each gets its own lines."""
    reader.subscribe('{ $.kind = "A" }', "first")
    reader.subscribe('{ $.kind = "B" }', "second")
    reader.write(line("A"), line("B"), line("C"))
    calls = reader.waits_for(2)
    got = {call["subscriptionFilters"][0]: call["logEvents"][0]["message"] for call in calls}
    assert got == {"first": line("A"), "second": line("B")}


def test_writing_does_not_wait_for_the_function(reader: Reader) -> None:
    """The line is written while the function is still processing it."""
    reader.subscribe("")
    hold = reader.folder / "hold"
    hold.touch()
    reader.write("first")
    reader.waits_for(1)
    reader.write("second")
    hold.unlink()
    wait_until(lambda: len(reader.calls()) == 2, "the second line is delivered")


def test_a_failed_call_is_retried(reader: Reader) -> None:
    """With the same events and the same ids."""
    (reader.folder / "failures").write_text("1")
    reader.subscribe("")
    reader.write("a line")
    first, second = reader.waits_for(2)
    assert first == second
    assert (reader.folder / "failures").read_text() == "0"


def test_a_call_that_fails_too_often_goes_to_the_failure_destination(reader: Reader) -> None:
    """With the original event, for a later attempt."""
    (reader.folder / "failures").write_text("2")
    queues = reader.localstack.client("sqs")
    queue = queues.create_queue(QueueName=reader.name)["QueueUrl"]
    attributes = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    reader.localstack.client("lambda").put_function_event_invoke_config(
        FunctionName=reader.name,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": attributes["Attributes"]["QueueArn"]}},
    )
    reader.subscribe("")
    reader.write("a line")
    reader.waits_for(2)
    message = wait_until(
        lambda: queues.receive_message(QueueUrl=queue).get("Messages"), "the event is in the queue"
    )[0]
    data = json.loads(message["Body"])["requestPayload"]["awslogs"]["data"]
    assert json.loads(gzip.decompress(base64.b64decode(data))) == reader.calls()[0]


def test_lines_are_written_even_if_their_reader_is_gone(reader: Reader) -> None:
    """The function is deleted; the writer does not depend on it."""
    reader.subscribe("")
    reader.localstack.client("lambda").delete_function(FunctionName=reader.name)
    reader.write("a line")
    stored = reader.localstack.client("logs").filter_log_events(logGroupName=reader.group)
    assert [event["message"] for event in stored["events"]] == ["a line"]


def test_from_a_template_and_an_access_log_to_the_function(
    localstack: LocalStack, tmp_path: Path
) -> None:
    """Everything together, as the project uses it."""
    group = f"/aws/apigateway/{uuid.uuid4()}"
    resources = {
        "AccessLog": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": group}},
        "Authorizer": function(upload(localstack, AUTHORIZER)),
        "Backend": function(
            upload(localstack, BACKEND),
            Events={"Closed": route("/closed", "ByToken"), "Open": route("/open")},
        ),
        "Reader": function(
            upload(localstack, READER), Environment={"Variables": {"FOLDER": str(tmp_path)}}
        ),
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": {"Ref": "Reader"},
                "Action": "lambda:InvokeFunction",
                "Principal": "logs.amazonaws.com",
                "SourceArn": {"Fn::GetAtt": ["AccessLog", "Arn"]},
            },
        },
        "Subscription": {
            "Type": "AWS::Logs::SubscriptionFilter",
            "DependsOn": "Permission",
            "Properties": {
                "LogGroupName": {"Ref": "AccessLog"},
                "FilterPattern": '{ $.responseType = "ACCESS_DENIED" }',
                "DestinationArn": {"Fn::GetAtt": ["Reader", "Arn"]},
            },
        },
        "Api": {
            "Type": "AWS::Serverless::Api",
            "Properties": {
                "StageName": "test",
                "AccessLogSetting": {
                    "DestinationArn": {"Fn::GetAtt": ["AccessLog", "Arn"]},
                    "Format": '{"responseType":"$context.error.responseType",'
                    '"requestId":"$context.requestId"}',
                },
                "Auth": {
                    "DefaultAuthorizer": "ByToken",
                    "Authorizers": {
                        "ByToken": {"FunctionArn": {"Fn::GetAtt": ["Authorizer", "Arn"]}}
                    },
                },
            },
        },
    }
    stack = deploy(localstack, resources, ApiId={"Ref": "Api"})
    api = RestApi(localstack, stack["ApiId"])
    reader = Reader(localstack, tmp_path, "", group)

    assert api.get("/open").status_code == 200
    assert api.get("/closed").status_code == 401
    denied = token(statements=[])
    requests = [api.get("/closed", denied).headers["x-amzn-RequestId"] for _ in range(2)]
    wait_until(lambda: len(reader.messages()) >= 2, "both denials are delivered")
    delivered = [json.loads(message)["requestId"] for message in reader.messages()]
    assert sorted(delivered) == sorted(requests)


EXAMPLE = json.dumps(
    {
        "text": "a b",
        "number": 4.5,
        "yes": True,
        "nothing": None,
        "inner": {"list": [{"x": 1}, 2], "odd-name_1": "x"},
        "quoted": 'say "no"',
    }
)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ('{ $.text = "a b" }', True),
        ('{$.text="a b"}', True),
        ('{ $.text = "a" }', False),
        ('{ $.text = "a*" }', True),
        ('{ $.text = "*b" }', True),
        ('{ $.text = "a.b" }', False),
        ('{ $.text != "a" }', True),
        ('{ $.text != "a b" }', False),
        ('{ $.quoted = "say \\"no\\"" }', True),
        ("{ $.inner.odd-name_1 = x }", True),
        ("{ $.inner.list[0].x = 1 }", True),
        ("{ $.inner.list[1] = 1 }", False),
        ("{ $.inner.list[9] = 1 }", False),
        ("{ $.number = 4.5 }", True),
        ("{ $.number > 4 }", True),
        ("{ $.number >= 4.5 }", True),
        ("{ $.number < 4.5 }", False),
        ("{ $.number <= 4 }", False),
        ("{ $.text > 4 }", False),
        ("{ $.yes > 0 }", False),
        ("{ $.yes IS TRUE }", True),
        ("{ $.yes IS FALSE }", False),
        ("{ $.nothing IS NULL }", True),
        ("{ $.missing IS NULL }", False),
        ("{ $.missing NOT EXISTS }", True),
        ("{ $.nothing NOT EXISTS }", False),
        ('{ $.missing = "x" }', False),
        ('{ $.missing != "x" }', False),
        ("{ $.text.deeper NOT EXISTS }", True),
        ("{ ($.yes IS TRUE) && ($.number = 4.5) }", True),
        ("{ $.yes IS FALSE && $.number = 4.5 || $.yes IS TRUE }", True),
        ("{ $.yes IS FALSE && ($.number = 4.5 || $.yes IS TRUE) }", False),
    ],
)
def test_supported_patterns(pattern: str, expected: bool) -> None:
    """Everything listed in the module."""
    assert compile_pattern(pattern)(EXAMPLE) is expected


@pytest.mark.parametrize("text", ["", "text", "{", "[]", "7", "null", '"$.text"'])
def test_a_line_that_is_not_an_object_matches_no_field(text: str) -> None:
    """Whatever it contains."""
    assert not compile_pattern('{ $.text = "*" }')(text)


@pytest.mark.parametrize(
    "pattern",
    [
        *("ERROR", "[ip, user]", "{ }", "{ $.a }", "{ $.a = }", "{ $.a = 1", "{ ($.a = 1 }"),
        *("{ $.a = %x% }", "{ $.a ~ 1 }", "{ $.a > x }", '{ $.a = "x }', "{ $.a = 1 } }"),
        *("{ $.a IS THERE }", "{ $.a NOT THERE }", "{ $.a = 1 && }", "{ = 1 }"),
    ],
)
def test_an_unsupported_pattern_is_rejected(pattern: str) -> None:
    """It is logged, and everything is delivered."""
    with pytest.raises(UnknownPattern):
        compile_pattern(pattern)


def test_everything_matches_an_unsupported_pattern(reader: Reader) -> None:
    """Better too much than nothing."""
    reader.subscribe("ERROR")
    reader.write("a line", "an ERROR")
    reader.waits_for(1)
    assert reader.messages() == ["a line", "an ERROR"]
