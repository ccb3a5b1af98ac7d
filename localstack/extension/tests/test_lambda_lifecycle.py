"""No process outlives its function or its LocalStack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from functions import invoke, invoke_at_once, is_running, wait_until_gone
from stack import LocalStack, archive, python_function, wait_until

PID = python_function("return os.getpid()")

# Creates a file when it has begun, and continues when told to.
WAITING = python_function("""
open(event['begun'], 'x').close()
while not os.path.exists(event['go_on']):
    time.sleep(0.01)
return os.getpid()
""")


@pytest.fixture
def own_localstack(extension: Path, tmp_path: Path) -> Iterator[LocalStack]:
    """A LocalStack that a test may stop."""
    stack = LocalStack(directory=tmp_path, extension=extension)
    stack.start()
    yield stack
    stack.kill()


def test_an_update_of_the_code_replaces_the_processes(localstack: LocalStack) -> None:
    """The next call runs the new code; the old processes and their files are removed."""
    name = localstack.create_function(
        python_function("return [os.getpid(), os.environ['LAMBDA_TASK_ROOT'], 'old']")
    )
    answers = [answer.result for answer in invoke_at_once(localstack, name, [1, 2, 3])]
    client = localstack.client("lambda")

    new_code = archive(python_function("return 'new'"))
    client.update_function_code(FunctionName=name, ZipFile=new_code)
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    assert invoke(localstack, name).result == "new"
    wait_until_gone(*(pid for pid, _, _ in answers))
    old_code = Path(answers[0][1])
    wait_until(lambda: not old_code.exists(), "the old code is deleted")


def test_an_update_of_the_configuration_replaces_the_processes(localstack: LocalStack) -> None:
    """The code is unchanged, the environment variables are new."""
    name = localstack.create_function(
        python_function("return [os.getpid(), os.environ.get('LEVEL')]")
    )
    pid, level = invoke(localstack, name).result
    client = localstack.client("lambda")

    variables = {"Variables": {"LEVEL": "2"}}
    client.update_function_configuration(FunctionName=name, Environment=variables)
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    new_pid, new_level = invoke(localstack, name).result
    assert (level, new_level) == (None, "2")
    assert new_pid != pid
    wait_until_gone(pid)


def test_a_call_that_is_running_during_an_update_finishes(
    localstack: LocalStack, tmp_path: Path
) -> None:
    """As on AWS, the old process responds, then ends."""
    name = localstack.create_function(WAITING, timeout=60)
    event = {"begun": str(tmp_path / "begun"), "go_on": str(tmp_path / "go on")}
    client = localstack.client("lambda")

    with ThreadPoolExecutor(1) as caller:
        call = caller.submit(invoke, localstack, name, event)
        wait_until((tmp_path / "begun").exists, "the call has begun")
        client.update_function_code(FunctionName=name, ZipFile=archive(PID))
        client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        assert invoke(localstack, name).result
        (tmp_path / "go on").touch()
        pid = call.result().result

    wait_until_gone(pid)


def test_calls_succeed_while_a_function_is_updated(localstack: LocalStack) -> None:
    """A client that calls continuously sees no failure during an update."""
    name = localstack.create_function(PID)
    client = localstack.client("lambda")
    with ThreadPoolExecutor(4) as callers:
        for number in range(3):
            variables = {"Variables": {"NUMBER": str(number)}}
            client.update_function_configuration(FunctionName=name, Environment=variables)
            calls = [callers.submit(invoke, localstack, name) for _ in range(20)]
            client.get_waiter("function_updated_v2").wait(
                FunctionName=name, WaiterConfig={"Delay": 1}
            )
            assert all(call.result().error is None for call in calls)


def test_a_deleted_function_leaves_nothing_behind(localstack: LocalStack) -> None:
    """Neither processes nor code."""
    name = localstack.create_function(
        python_function("return [os.getpid(), os.environ['LAMBDA_TASK_ROOT']]")
    )
    answers = [answer.result for answer in invoke_at_once(localstack, name, [1, 2, 3])]

    localstack.client("lambda").delete_function(FunctionName=name)

    wait_until_gone(*(pid for pid, _ in answers))
    code = Path(answers[0][1])
    wait_until(lambda: not code.exists(), "the code is deleted")


def test_a_stopped_localstack_leaves_nothing_behind(
    own_localstack: LocalStack, tmp_path: Path
) -> None:
    """Idle processes, one during a call, their guard and their code are gone."""
    idle = own_localstack.create_function(PID)
    waiting = own_localstack.create_function(WAITING, timeout=300)
    pids = [answer.result for answer in invoke_at_once(own_localstack, idle, [1, 2])]
    event = {"begun": str(tmp_path / "begun"), "go_on": str(tmp_path / "never")}
    client = own_localstack.client("lambda", connect_timeout=5)

    with ThreadPoolExecutor(1) as caller:
        call = caller.submit(client.invoke, FunctionName=waiting, Payload=json.dumps(event))
        wait_until((tmp_path / "begun").exists, "the call has begun")
        children = psutil.Process(own_localstack.pid).children(recursive=True)
        own_localstack.stop()
        call.exception()

    assert {*pids} < {child.pid for child in children}
    assert len(children) == len(pids) + 2, "the waiting function and the guard"
    wait_until_gone(*(child.pid for child in children))
    assert not list(own_localstack.directory.glob("tmp/lambda/*/*/code"))


def test_a_stop_does_not_wait_for_a_call_of_an_old_version(
    own_localstack: LocalStack, tmp_path: Path
) -> None:
    """A call that outlives an update of its function must not delay the stop of LocalStack."""
    name = own_localstack.create_function(WAITING, timeout=900)
    event = {"begun": str(tmp_path / "begun"), "go_on": str(tmp_path / "never")}
    client = own_localstack.client("lambda")

    with ThreadPoolExecutor(1) as caller:
        call = caller.submit(client.invoke, FunctionName=name, Payload=json.dumps(event))
        wait_until((tmp_path / "begun").exists, "the call has begun")
        client.update_function_code(FunctionName=name, ZipFile=archive(PID))
        client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        invoke(own_localstack, name)
        children = psutil.Process(own_localstack.pid).children(recursive=True)
        own_localstack.stop()
        call.exception()

    wait_until_gone(*(child.pid for child in children))


def test_a_killed_localstack_leaves_no_process_behind(own_localstack: LocalStack) -> None:
    """Even after `kill -9`, no process is left, nor what a function has started."""
    name = own_localstack.create_function(
        python_function("""
import subprocess
child = subprocess.Popen(['sleep', '600'])
return [os.getpid(), child.pid]
""")
    )
    processes = invoke(own_localstack, name).result
    children = psutil.Process(own_localstack.pid).children(recursive=True)
    assert all(map(is_running, processes))

    own_localstack.kill()

    wait_until_gone(*processes, *(child.pid for child in children))


def test_the_guard_is_replaced_if_it_is_killed(own_localstack: LocalStack) -> None:
    """A new guard gets the whole list."""
    first = invoke(own_localstack, own_localstack.create_function(PID)).result
    children = psutil.Process(own_localstack.pid).children()
    [guard] = [child for child in children if child.pid != first]
    guard.kill()
    wait_until_gone(guard.pid)
    second = invoke(own_localstack, own_localstack.create_function(PID)).result

    own_localstack.kill()

    wait_until_gone(first, second)
