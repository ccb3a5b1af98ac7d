"""Where a function's output goes: CloudWatch Logs, the caller's tail, a file per function."""

from __future__ import annotations

import re

from functions import invoke, invoke_at_once
from stack import LocalStack, python_function, wait_until

CHATTY = "print('to stdout', event); print('to stderr', event, file=sys.stderr); return event"


def cloudwatch_messages(localstack: LocalStack, name: str) -> list[str]:
    """All messages of the function's log group, in the order of its streams."""
    events = localstack.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")
    return [event["message"].rstrip("\n") for event in events["events"]]


def reported(localstack: LocalStack, name: str, request_id: str) -> list[str]:
    """The messages, once the report of the invocation has been written."""

    def messages() -> list[str]:
        try:
            found = cloudwatch_messages(localstack, name)
        except localstack.client("logs").exceptions.ResourceNotFoundException:
            return []
        report = f"REPORT RequestId: {request_id}"
        return found if any(message.startswith(report) for message in found) else []

    return wait_until(messages, f"the report of {request_id} is in CloudWatch Logs")


def test_an_invocation_is_logged_from_start_to_report(localstack: LocalStack) -> None:
    """The same lines arrive in CloudWatch Logs, in the caller's tail and in the file."""
    name = localstack.create_function(python_function(CHATTY), MemorySize=512)

    answer = invoke(localstack, name, 1)

    lines = answer.log.splitlines()
    assert lines[:-1] == [
        "INIT_START Runtime Version: provided.al2023",
        f"START RequestId: {answer.request_id} Version: $LATEST",
        "to stdout 1",
        "to stderr 1",
        f"END RequestId: {answer.request_id}",
    ]
    report = rf"REPORT RequestId: {answer.request_id}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms"
    report += r"\tMemory Size: 512 MB(\tMax Memory Used: \d+ MB)?\tInit Duration: [\d.]+ ms"
    assert re.fullmatch(report, lines[-1])
    assert reported(localstack, name, answer.request_id) == lines
    assert (localstack.function_logs / f"{name}.log").read_text().splitlines() == lines


def test_only_the_first_invocation_reports_the_init(localstack: LocalStack) -> None:
    """Later ones have neither an INIT_START nor an init duration."""
    name = localstack.create_function(python_function(CHATTY))
    first, second = invoke(localstack, name, 1), invoke(localstack, name, 2)

    assert "INIT_START" in first.log
    assert "Init Duration" in first.log
    assert "INIT_START" not in second.log
    assert "Init Duration" not in second.log
    assert "to stdout 1" not in second.log


def test_failures_are_logged(localstack: LocalStack) -> None:
    """The reason of a crash is in CloudWatch Logs, after the function's output."""
    name = localstack.create_function(python_function("print('out of ideas'); os._exit(9)"))

    answer = invoke(localstack, name)

    messages = reported(localstack, name, answer.request_id)
    reason = f"RequestId: {answer.request_id} Error: Runtime exited with error: exit status 9"
    assert messages.index("out of ideas") < messages.index(reason)


def test_the_tail_ends_with_the_report_however_much_is_printed(localstack: LocalStack) -> None:
    """The caller gets the last 4 KB, the file gets everything."""
    name = localstack.create_function(
        python_function("for n in range(event): print('line %06d' % n)"), timeout=60
    )

    answer = invoke(localstack, name, 100_000)

    assert len(answer.log) <= 4096
    assert "line 099999\n" in answer.log
    lines = (localstack.function_logs / f"{name}.log").read_text().splitlines()
    assert [line for line in lines if line.startswith("line ")] == [
        f"line {n:06}" for n in range(100_000)
    ]


def test_concurrent_environments_do_not_mix_their_lines(localstack: LocalStack) -> None:
    """Each line of the shared file comes from one of them."""
    name = localstack.create_function(
        python_function("for n in range(500): print(str(event) * 50)"), timeout=60
    )

    answers = invoke_at_once(localstack, name, list(range(6)))

    assert all(answer.error is None for answer in answers)
    lines = (localstack.function_logs / f"{name}.log").read_text().splitlines()
    printed = [line for line in lines if line[:1].isdigit()]
    assert sorted(printed) == sorted(str(n) * 50 for n in range(6) for _ in range(500))
