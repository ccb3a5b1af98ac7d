"""What a function does after its response, with an extension: the caller does not wait for it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from functions import Answer, invoke, is_running, wait_until_gone
from lambda_extensions import extended_function, log_lines, wait_for_report
from stack import LocalStack, archive, python_function, wait_until
from test_lambda_logs import reported

# Works after its response until the file of the event exists.
WORKER = extended_function(
    "print('half ', end=''); return os.getpid()",
    after="""
print('a line')
if event:
    wait_for(event)
print('work done')
""",
)

# Ends its work after the response as the event says.
FALTERING = extended_function(
    "return os.getpid()",
    after="""
print('after the response')
if event == 'crash':
    os._exit(9)
if event == 'fail':
    call('POST', 'exit/error', Identifier=identifier, Function_Error_Type='Lost')
if event in ('fail', 'hang'):
    time.sleep(600)
""",
)


@pytest.fixture
def worker(localstack: LocalStack, tmp_path: Path) -> Iterator[tuple[str, Answer, Path]]:
    """A function that is working after the answer of a call, and the file that lets it finish."""
    name = localstack.create_function(WORKER, timeout=60)
    done = tmp_path / "done"
    yield name, invoke(localstack, name, str(done)), done
    done.touch()


def test_an_environment_is_used_again_when_its_work_is_done(
    localstack: LocalStack, worker: tuple[str, Answer, Path]
) -> None:
    """The caller has its answer at once. Until the work is done, calls get another environment."""
    name, answer, done = worker

    other = invoke(localstack, name)
    assert other.result != answer.result
    wait_for_report(localstack, name, other.request_id)
    done.touch()
    wait_for_report(localstack, name, answer.request_id)

    assert invoke(localstack, name).result in (answer.result, other.result)
    wait_until(
        lambda: invoke(localstack, name).result == answer.result, "the first one is used again"
    )


def test_the_log_of_an_invocation_includes_what_follows_its_response(
    localstack: LocalStack, worker: tuple[str, Answer, Path]
) -> None:
    """It arrives in the file and in CloudWatch Logs, but not in the caller's tail."""
    name, answer, done = worker
    done.touch()

    lines = wait_for_report(localstack, name, answer.request_id)

    assert lines[:-1] == [
        f"START RequestId: {answer.request_id} Version: $LATEST",
        "half a line",
        "work done",
        f"END RequestId: {answer.request_id}",
    ]
    messages = reported(localstack, name, answer.request_id)
    assert [message for message in messages if message in lines] == lines
    assert lines[0] in answer.log
    assert "work done" not in answer.log


def test_the_duration_includes_the_work_after_the_response(
    localstack: LocalStack, tmp_path: Path
) -> None:
    """The work is made to last longer than the call as its caller has seen it."""
    name = localstack.create_function(WORKER, timeout=60)
    done = tmp_path / "done"
    called_at = time.monotonic()
    answer = invoke(localstack, name, str(done))
    answered_at = time.monotonic()
    called = answered_at - called_at
    wait_until(lambda: time.monotonic() - answered_at > called, "the work has taken longer")
    worked = time.monotonic() - answered_at
    done.touch()

    report = wait_for_report(localstack, name, answer.request_id)[-1]

    assert float(re.search(r"\tDuration: ([\d.]+) ms", report)[1]) > worked * 1000
    assert int(re.search(r"\tBilled Duration: (\d+) ms", report)[1]) > worked * 1000


def test_the_timeout_includes_the_work_after_the_response(localstack: LocalStack) -> None:
    """The process is killed, but the caller keeps its answer. The next call gets a new process."""
    name = localstack.create_function(FALTERING, timeout=3)

    answer = invoke(localstack, name, "hang")

    lines = wait_for_report(localstack, name, answer.request_id)
    assert lines[1] == "after the response"
    assert re.fullmatch(rf".*Z {answer.request_id} Task timed out after 3\.00 seconds", lines[2])
    assert lines[-1].endswith("\tStatus: timeout")
    wait_until_gone(answer.result)
    assert invoke(localstack, name).result != answer.result


@pytest.mark.parametrize(
    ("event", "reason", "error_type"),
    [
        ("crash", "Runtime exited with error: exit status 9", "Runtime.ExitError"),
        ("fail", "Lost", "Extension.ExitError"),
    ],
)
def test_a_failure_after_the_response_does_not_reach_the_caller(
    localstack: LocalStack, event: str, reason: str, error_type: str
) -> None:
    """It is logged, and the next call gets a new process."""
    name = localstack.create_function(FALTERING, timeout=60)

    answer = invoke(localstack, name, event)

    lines = wait_for_report(localstack, name, answer.request_id)
    assert lines[1:4] == [
        "after the response",
        f"RequestId: {answer.request_id} Error: {reason}",
        error_type,
    ]
    assert lines[-1].endswith(f"\tStatus: error\tError Type: {error_type}")
    wait_until_gone(answer.result)
    assert invoke(localstack, name).result != answer.result


def test_an_error_of_the_function_does_not_end_the_work(
    localstack: LocalStack, tmp_path: Path
) -> None:
    """The caller gets the error at once; until the work is done, the environment is busy."""
    fail = "if event:\n    raise ValueError(os.getpid())\nreturn os.getpid()"
    after = "if event:\n    wait_for(event)\n    print('work done')"
    name = localstack.create_function(extended_function(fail, after=after), timeout=60)
    done = tmp_path / "done"

    failed = invoke(localstack, name, str(done))
    other = invoke(localstack, name)
    done.touch()

    assert failed.payload["errorType"] == "ValueError"
    assert failed.payload["errorMessage"] != str(other.result)
    assert "work done" in wait_for_report(localstack, name, failed.request_id)


def test_work_that_is_running_during_an_update_finishes(
    localstack: LocalStack, worker: tuple[str, Answer, Path]
) -> None:
    """The next call runs the new code; the old process ends once it is done."""
    name, answer, done = worker
    client = localstack.client("lambda")

    new_code = archive(python_function("return 'new'"))
    client.update_function_code(FunctionName=name, ZipFile=new_code)
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert invoke(localstack, name).result == "new"
    assert is_running(answer.result)
    done.touch()

    assert "work done" in wait_for_report(localstack, name, answer.request_id)
    wait_until_gone(answer.result)


def test_work_that_is_running_during_a_deletion_finishes(
    localstack: LocalStack, worker: tuple[str, Answer, Path]
) -> None:
    """Then the process ends."""
    name, answer, done = worker

    localstack.client("lambda").delete_function(FunctionName=name)
    assert is_running(answer.result)
    done.touch()

    assert "work done" in wait_for_report(localstack, name, answer.request_id)
    wait_until_gone(answer.result)


def test_a_stop_of_localstack_does_not_wait_for_work(extension: Path, tmp_path: Path) -> None:
    """Work after a response ends with everything else."""
    localstack = LocalStack(directory=tmp_path, extension=extension)
    localstack.start()
    try:
        name = localstack.create_function(WORKER, timeout=900)
        invoke(localstack, name, str(tmp_path / "never"))
        children = psutil.Process(localstack.pid).children(recursive=True)
        localstack.stop()
    finally:
        localstack.kill()

    wait_until_gone(*(child.pid for child in children))
    assert "work done" not in log_lines(localstack, name)


def test_asynchronous_calls_are_done_with_the_response(
    localstack: LocalStack, tmp_path: Path
) -> None:
    """The next one does not wait for the work after it, but gets another environment."""
    mark = "open(event['mark'], 'x').write(str(os.getpid()))"
    after = "wait_for(event['done'])"
    name = localstack.create_function(extended_function(mark, after=after), timeout=60)
    done = tmp_path / "done"
    marks = [tmp_path / "first", tmp_path / "second"]

    for file in marks:
        localstack.client("lambda").invoke(
            FunctionName=name,
            InvocationType="Event",
            Payload=json.dumps({"mark": str(file), "done": str(done)}).encode(),
        )
        wait_until(lambda file=file: file.exists() and file.read_text(), f"{file} is written")

    first, second = (int(file.read_text()) for file in marks)
    assert first != second
    assert is_running(first)
    done.touch()
