"""A failing function is reported as on AWS, and its next call gets a working environment."""

from __future__ import annotations

import os
import re
import signal

import pytest

from functions import invoke, wait_until_gone
from stack import LocalStack, python_function

MEGABYTE = 1024 * 1024
SHEBANG = python_function("").partition("\n")[0]

OBEDIENT = """
if event == 'pid':
    return os.getpid()
if event == 'raise':
    raise ValueError('no such patient')
if event == 'hang':
    time.sleep(60)
if event == 'child':
    import subprocess
    child = subprocess.Popen(['sleep', '60'])
    print('child', child.pid)
    time.sleep(60)
if event == 'signal':
    os.kill(os.getpid(), 9)
print('last words', end='')
os._exit(event)
"""


def test_an_error_of_the_function_is_returned_unchanged(localstack: LocalStack) -> None:
    """A reported error keeps the process; only the response is marked."""
    name = localstack.create_function(python_function(OBEDIENT))
    pid = invoke(localstack, name, "pid").result

    failed = invoke(localstack, name, "raise")

    assert failed.error == "Unhandled"
    assert failed.payload == {"errorMessage": "no such patient", "errorType": "ValueError"}
    assert invoke(localstack, name, "pid").result == pid


def test_a_timeout_is_enforced(localstack: LocalStack) -> None:
    """The process is killed, the caller gets AWS's message, the next call a new process."""
    name = localstack.create_function(python_function(OBEDIENT), timeout=1)
    pid = invoke(localstack, name, "pid").result

    failed = invoke(localstack, name, "hang")

    assert failed.error == "Unhandled"
    assert failed.payload["errorType"] == "Sandbox.Timedout"
    message = rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z {failed.request_id} "
    message += r"Task timed out after 1\.00 seconds"
    assert re.fullmatch(message, failed.payload["errorMessage"])
    assert failed.payload["errorMessage"] in failed.log
    assert "\tStatus: timeout" in failed.log
    wait_until_gone(pid)
    assert invoke(localstack, name, "pid").result != pid


def test_a_timeout_kills_what_the_function_has_started(localstack: LocalStack) -> None:
    """Not even a child of the function's process survives."""
    name = localstack.create_function(python_function(OBEDIENT), timeout=2)

    failed = invoke(localstack, name, "child")

    assert failed.payload["errorType"] == "Sandbox.Timedout"
    wait_until_gone(int(re.search(r"child (\d+)", failed.log)[1]))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (3, "Runtime exited with error: exit status 3"),
        (0, "Runtime exited without providing a reason"),
        ("signal", "Runtime exited with error: signal: killed"),
    ],
)
def test_a_crash_is_reported_and_the_process_replaced(
    localstack: LocalStack, event: int | str, reason: str
) -> None:
    """A process that ends before its response is an error, but not the end of the function."""
    name = localstack.create_function(python_function(OBEDIENT), timeout=30)
    pid = invoke(localstack, name, "pid").result

    failed = invoke(localstack, name, event)

    assert failed.error == "Unhandled"
    assert failed.payload == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {failed.request_id} Error: {reason}",
    }
    assert "\tStatus: error\tError Type: Runtime.ExitError" in failed.log
    assert event == "signal" or "last words\n" in failed.log
    assert invoke(localstack, name, "pid").result != pid


def test_a_process_that_ends_between_calls_is_replaced_unnoticed(localstack: LocalStack) -> None:
    """The next caller must not notice."""
    name = localstack.create_function(python_function(OBEDIENT))
    pid = invoke(localstack, name, "pid").result
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)

    assert invoke(localstack, name, "pid").result != pid


def test_a_crash_during_initialization_is_an_error_of_the_call(localstack: LocalStack) -> None:
    """Its last output is in the log; every call tries again."""
    crash = "sys.stderr.write('no configuration\\n'); sys.exit(7)"
    name = localstack.create_function(python_function("", at_start=crash))

    for _ in range(2):
        failed = invoke(localstack, name)

        assert failed.payload["errorType"] == "Runtime.ExitError"
        assert failed.payload["errorMessage"].endswith("Runtime exited with error: exit status 7")
        assert "no configuration\n" in failed.log


def test_a_reported_init_error_is_returned(localstack: LocalStack) -> None:
    """`init/error` contains the function's own message."""
    report = """
problem = {"errorType": "Config.Missing", "errorMessage": "DATABASE_URL is not set"}
runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
runtime.request("POST", "/2018-06-01/runtime/init/error", json.dumps(problem))
assert runtime.getresponse().status == 202
time.sleep(60)
"""
    name = localstack.create_function(python_function("", at_start=report))

    failed = invoke(localstack, name)

    assert failed.error == "Unhandled"
    assert failed.payload == {
        "errorType": "Config.Missing",
        "errorMessage": "DATABASE_URL is not set",
    }


def test_a_function_that_never_asks_for_an_event_times_out(localstack: LocalStack) -> None:
    """The initialization has its own limit, after which the process is killed."""
    hang = "print('pid', os.getpid()); time.sleep(600)"
    name = localstack.create_function(python_function("", at_start=hang), timeout=60)

    failed = invoke(localstack, name)

    assert failed.payload["errorType"] == "Sandbox.Timedout"
    assert failed.payload["errorMessage"].endswith("Task timed out after 4.00 seconds")
    wait_until_gone(int(re.search(r"pid (\d+)", failed.log)[1]))


@pytest.mark.parametrize(
    ("bootstrap", "reason"),
    [
        (b"\x7fELF is all that is right about this", "exec format error"),
        ("#!/no/such/interpreter\n", "no such file or directory"),
    ],
)
def test_a_bootstrap_that_cannot_run(
    localstack: LocalStack, bootstrap: str | bytes, reason: str
) -> None:
    """A binary for another platform, for example, is reported instead of hanging."""
    name = localstack.create_function(bootstrap)

    failed = invoke(localstack, name)

    assert failed.payload["errorType"] == "Runtime.InvalidEntrypoint"
    assert failed.payload["errorMessage"].endswith(f"bootstrap: {reason}")


def test_an_archive_without_bootstrap(localstack: LocalStack) -> None:
    """The message names the missing file."""
    name = localstack.create_function("", file_name="main.py")

    failed = invoke(localstack, name)

    assert failed.payload["errorType"] == "Runtime.InvalidEntrypoint"
    assert "Couldn't find valid bootstrap(s)" in failed.payload["errorMessage"]


def test_a_response_that_is_too_large_is_rejected(localstack: LocalStack) -> None:
    """As on AWS, and the process continues."""
    name = localstack.create_function(
        python_function("return [os.getpid(), 'x' * event]"), timeout=60
    )
    pid, _ = invoke(localstack, name, 1).result

    failed = invoke(localstack, name, 7 * MEGABYTE)

    assert failed.payload["errorType"] == "Function.ResponseSizeTooLarge"
    assert invoke(localstack, name, 1).result == [pid, "x"]


def test_a_late_response_does_not_reach_the_next_caller(localstack: LocalStack) -> None:
    """The Runtime API accepts a response only for the current invocation."""
    forge = """
connection = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])
connection.request('POST', '/2018-06-01/runtime/invocation/another-id/response', b'"forged"')
return connection.getresponse().status
"""
    name = localstack.create_function(python_function(forge))

    assert invoke(localstack, name).result == 400
