"""The Extensions API: who may register, and what extensions get and report."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from functions import invoke, wait_until_gone
from lambda_extensions import CALLS, extended_function, log_lines, wait_for_report
from stack import LocalStack, python_function

UNKNOWN = "f8d0ba9c-5b1c-4b8a-9a3e-2a6c7d1f9f10"


def refusals(localstack: LocalStack, calls: str) -> list[Any]:
    """How the Extensions API refuses these calls in the init phase, except for those it accepts."""
    at_start = f"{CALLS}\nanswers = [{calls}]\n"
    at_start += "for answer in answers:\n    if answer[0] == 200: attend(answer)"
    name = localstack.create_function(python_function("return answers", at_start=at_start))
    return [
        (status, body["errorType"], body["errorMessage"])
        for status, _, body in invoke(localstack, name).result
        if status != 200
    ]


def test_an_extension_learns_what_it_extends(localstack: LocalStack) -> None:
    """It gets an identifier and the function's names, and the account only if it asks for it."""
    register = """
answers = [register("one"), register("two", Accept_Feature="other, accountId")]
for answer in answers:
    attend(answer)
"""
    name = localstack.create_function(
        python_function("return answers", at_start=CALLS + register)
    )

    first, second = invoke(localstack, name).result

    known = {"functionName": name, "functionVersion": "$LATEST", "handler": "bootstrap"}
    assert [first[0], second[0]] == [200, 200]
    assert [first[2], second[2]] == [known, {**known, "accountId": "000000000000"}]
    identifiers = {uuid.UUID(one[1]["Lambda-Extension-Identifier"]) for one in (first, second)}
    assert len(identifiers) == 2
    ready = "EXTENSION\tName: one\tState: Ready\tEvents: [INVOKE]"
    assert ready in log_lines(localstack, name)


def test_an_invocation_is_announced_to_the_extension(
    localstack: LocalStack, tmp_path: Path
) -> None:
    """It gets the request id, deadline, ARN and trace that the runtime gets, but no payload."""
    name = localstack.create_function(
        extended_function(
            "return dict(context)",
            after="with open(event, 'w') as file: json.dump(seen, file)",
        )
    )
    file = tmp_path / "seen"

    answer = invoke(localstack, name, str(file))

    wait_for_report(localstack, name, answer.request_id)
    status, extension_headers, event = json.loads(file.read_text())
    headers = answer.result
    assert status == 200
    assert event == {
        "eventType": "INVOKE",
        "deadlineMs": int(headers["Lambda-Runtime-Deadline-Ms"]),
        "requestId": answer.request_id,
        "invokedFunctionArn": headers["Lambda-Runtime-Invoked-Function-Arn"],
        "tracing": {"type": "X-Amzn-Trace-Id", "value": headers["Lambda-Runtime-Trace-Id"]},
    }
    assert uuid.UUID(extension_headers["Lambda-Extension-Identifier"])
    assert uuid.UUID(extension_headers["Lambda-Extension-Event-Identifier"])


@pytest.mark.parametrize(
    ("calls", "error_type", "message"),
    [
        (
            """register(events='{"events": ["INVOKE", "SHUTDOWN"]}')""",
            "Extension.InvalidEventType",
            "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension",
        ),
        (
            """register(events='{"events": ["START"]}')""",
            "Extension.InvalidEventType",
            "START: ErrorInvalidEventType",
        ),
        ("register(name='')", "Extension.InvalidExtensionName", "Empty extension name"),
        (
            """register(events='{"events": "INVOKE"}')""",
            "InvalidRequestFormat",
            "events is not an array of strings",
        ),
        (
            "register('one'), register('two'), register('one')",
            "Extension.InvalidExtensionState",
            "Extension with this name already registered",
        ),
        (
            "*[register(f'extension {n}') for n in range(11)]",
            "Extension.TooManyExtensions",
            "Extension limit (10) reached",
        ),
    ],
)
def test_registrations_that_are_refused(
    localstack: LocalStack, calls: str, error_type: str, message: str
) -> None:
    """The function runs without the extension that is refused."""
    assert refusals(localstack, calls) == [(403, error_type, message)]


def test_a_body_without_json_is_refused(localstack: LocalStack) -> None:
    """The message says what is wrong with it."""
    [(status, error_type, message)] = refusals(localstack, "register(events='')")

    assert (status, error_type) == (403, "InvalidRequestFormat")
    assert message


def test_requests_without_a_valid_identifier_are_refused(localstack: LocalStack) -> None:
    """It may be missing, malformed or that of another process."""
    calls = f"""
*[
    call(method, path, b"{{}}", Function_Error_Type="Any", **identifier)
    for method, path in [("GET", "event/next"), ("POST", "init/error"), ("POST", "exit/error")]
    for identifier in [{{}}, {{"Identifier": "worker"}}, {{"Identifier": "{UNKNOWN}"}}]
]"""

    found = refusals(localstack, calls)

    expected = [
        (403, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header"),
        (403, "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"),
        (403, "Extension.UnknownExtensionIdentifier", f"Unknown extension {UNKNOWN}"),
    ]
    assert found == expected * 3


def test_nobody_registers_after_the_initialization(localstack: LocalStack) -> None:
    """The runtime's first request for an event closes the registration."""
    name = localstack.create_function(python_function("return register()", at_start=CALLS))

    status, _, body = invoke(localstack, name).result

    assert status == 403
    assert body == {
        "errorType": "Extension.RegistrationClosed",
        "errorMessage": "Extension registration closed already",
    }


def test_an_extension_waits_for_one_event_at_a_time(localstack: LocalStack) -> None:
    """Of two requests at once, one is refused. By then it is too late for an init error."""
    ask = """
asked = []

def ask():
    asked.append(call("GET", "event/next", Identifier=worker))

worker = identify(register())
both = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
for thread in both:
    thread.start()
while not asked:
    time.sleep(0.01)
asked.append(call("POST", "init/error", Identifier=worker, Function_Error_Type="Late"))
"""
    name = localstack.create_function(
        python_function("return [worker, *asked[:2]]", at_start=CALLS + ask), timeout=30
    )

    worker, *refused = invoke(localstack, name).result

    assert [(status, body) for status, _, body in refused] == [
        (
            403,
            {
                "errorType": "Extension.InvalidExtensionState",
                "errorMessage": f"State transition from Ready to {state} failed for extension "
                f"{worker}. Error: State transition is not allowed",
            },
        )
        for state in ("Ready", "InitError")
    ]


def test_the_initialization_includes_the_extensions(localstack: LocalStack) -> None:
    """No invocation begins before each of them has asked for its first event."""
    name = localstack.create_function(
        extended_function("print('begun')", before_next="time.sleep(600)"), timeout=60
    )

    failed = invoke(localstack, name)

    assert failed.payload["errorType"] == "Sandbox.Timedout"
    assert failed.payload["errorMessage"].endswith("Task timed out after 4.00 seconds")
    assert "begun" not in log_lines(localstack, name)


def test_an_extension_without_events_only_takes_part_in_the_initialization(
    localstack: LocalStack,
) -> None:
    """It asks once and hears nothing; the environment is free with the response."""
    at_start = CALLS + """attend(register(events="{}"))"""
    name = localstack.create_function(python_function("return os.getpid()", at_start=at_start))

    first, second = invoke(localstack, name), invoke(localstack, name)

    assert first.result == second.result
    assert "REPORT" in first.log


@pytest.mark.parametrize(
    ("path", "error_type"),
    [("init/error", "Extension.InitError"), ("exit/error", "Extension.ExitError")],
)
def test_an_extension_that_cannot_be_initialized_ends_the_environment(
    localstack: LocalStack, path: str, error_type: str
) -> None:
    """The call fails with the extension's reason, and each further one tries again."""
    problem = json.dumps({"errorType": "Ignored", "errorMessage": "no certificate"})
    fail = f"""
print("pid", os.getpid())
call("POST", {path!r}, {problem!r}, Identifier=identify(register()), Function_Error_Type="Tls.No")
time.sleep(600)
"""
    name = localstack.create_function(python_function("", at_start=CALLS + fail))
    pids = set()

    for _ in range(2):
        failed = invoke(localstack, name)

        message = f"RequestId: {failed.request_id} Error: Tls.No: no certificate"
        assert failed.payload == {"errorType": error_type, "errorMessage": message}
        assert f"{message}\n{error_type}\n" in failed.log
        pids.add(int(re.search(r"pid (\d+)", failed.log)[1]))
        wait_until_gone(*pids)

    assert len(pids) == 2


def test_an_extension_that_fails_before_the_response_fails_the_call(
    localstack: LocalStack,
) -> None:
    """The environment ends at once, and the next call gets a new one."""
    fail = """
if event == 'pid':
    return os.getpid()
call("POST", "exit/error", Identifier=identifier, Function_Error_Type="Lost")
time.sleep(600)
"""
    name = localstack.create_function(extended_function(fail))
    pid = invoke(localstack, name, "pid").result

    failed = invoke(localstack, name)

    assert failed.payload["errorType"] == "Extension.ExitError"
    assert failed.payload["errorMessage"] == f"RequestId: {failed.request_id} Error: Lost"
    wait_until_gone(pid)
    assert invoke(localstack, name, "pid").result != pid


def test_an_error_needs_a_type(localstack: LocalStack) -> None:
    """Without it, it is refused, and the environment stays."""
    report = """call("POST", path, b"{}", Identifier=identifier)"""
    name = localstack.create_function(
        extended_function(
            "return answers",
            at_start="answers = []",
            before_next=f"answers.extend({report} for path in ('init/error', 'exit/error'))",
        )
    )

    answers = invoke(localstack, name).result

    message = "Lambda-Extension-Function-Error-Type not found"
    body = {"errorType": "Extension.MissingHeader", "errorMessage": message}
    assert [(status, found) for status, _, found in answers] == [(403, body)] * 2
