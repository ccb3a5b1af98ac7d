"""What functions and their callers get when all goes well."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from functions import invoke, invoke_at_once
from stack import LocalStack, python_function, wait_until

MEGABYTE = 1024 * 1024

# Responds with a chunked body, as the Rust runtime does.
CHUNKED = r"""
import http.client, json, os

runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    runtime.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = runtime.getresponse()
    answer.read()
    path = "/2018-06-01/runtime/invocation/%s/response"
    path %= answer.headers["Lambda-Runtime-Aws-Request-Id"]
    pieces = iter([b'{"pieces": ', b'[1, 2', b', 3]', b'}'])
    headers = {"Transfer-Encoding": "chunked"}
    runtime.request("POST", path, pieces, headers, encode_chunked=True)
    runtime.getresponse().read()
"""


# Returns as soon as all concurrent calls have arrived.
MEETING = python_function("""
open(os.path.join(event['place'], str(event['number'])), 'x').close()
while len(os.listdir(event['place'])) < event['guests']:
    time.sleep(0.01)
return [os.getpid(), os.environ['LAMBDA_TASK_ROOT']]
""")


def test_a_function_responds_to_its_event(localstack: LocalStack) -> None:
    """JSON goes in and comes out, including text outside ASCII."""
    name = localstack.create_function(python_function("return {'seen': event}"))

    answer = invoke(localstack, name, {"name": "Zoë", "list": [1, None]})

    assert answer.result == {"seen": {"name": "Zoë", "list": [1, None]}}


def test_a_function_gets_its_environment_and_nothing_of_the_host(localstack: LocalStack) -> None:
    """The variables are those documented by AWS, plus the function's own."""
    name = localstack.create_function(
        python_function("return dict(os.environ)"),
        environment={"TABLE": "patients", "RUST_LOG": "info"},
        MemorySize=256,
    )

    variables = invoke(localstack, name).result

    expected = {
        "TABLE": "patients",
        "RUST_LOG": "info",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": localstack.url,
        "TZ": ":UTC",
        "_HANDLER": "bootstrap",
    }
    assert {key: variables.get(key) for key in expected} == expected
    assert Path(variables["LAMBDA_TASK_ROOT"], "bootstrap").is_file()
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} <= variables.keys()
    host = {"NOT_FOR_FUNCTIONS", "HOME", "PYTHONPATH", "DYNOXIDE_URL", "LOCALSTACK_HOST"}
    assert not host & variables.keys()


def test_the_invocation_has_the_headers_of_the_runtime_api(localstack: LocalStack) -> None:
    """They contain request id, ARN, deadline, trace and client context."""
    name = localstack.create_function(python_function("return dict(context)"), timeout=20)
    context = {"custom": {"device": "größe  1"}}
    encoded = base64.b64encode(json.dumps(context).encode()).decode()

    before = time.time() * 1000
    answer = invoke(localstack, name, ClientContext=encoded)
    after = time.time() * 1000

    headers = answer.result
    arn = f"arn:aws:lambda:eu-central-1:000000000000:function:{name}"
    assert headers["Lambda-Runtime-Aws-Request-Id"] == answer.request_id
    assert headers["Lambda-Runtime-Invoked-Function-Arn"] == arn
    assert before + 20_000 - 1 <= int(headers["Lambda-Runtime-Deadline-Ms"]) <= after + 20_000
    assert json.loads(headers["Lambda-Runtime-Client-Context"]) == context
    assert headers["Lambda-Runtime-Trace-Id"].startswith("Root=1-")
    assert "Lambda-Runtime-Client-Context" not in invoke(localstack, name).result


def test_the_callers_trace_continues_in_the_function(localstack: LocalStack) -> None:
    """The caller's X-Ray header arrives with the same root."""
    name = localstack.create_function(python_function("return context['Lambda-Runtime-Trace-Id']"))
    client = localstack.client("lambda")
    root = "Root=1-5759e988-bd862e3fe1be46a994272793"
    client.meta.events.register(
        "before-send.lambda.Invoke",
        lambda request, **_: request.headers.update({"X-Amzn-Trace-Id": f"{root};Sampled=1"}),
    )

    trace = json.load(client.invoke(FunctionName=name)["Payload"])

    assert root in trace.split(";")


@pytest.mark.parametrize("size", [0, 1, MEGABYTE, 6 * MEGABYTE - 16])
def test_payloads_of_every_allowed_size(localstack: LocalStack, size: int) -> None:
    """Up to Lambda's limit, 6 MB, they pass unchanged."""
    name = localstack.create_function(python_function("return event"), timeout=60)

    assert invoke(localstack, name, "x" * size).result == "x" * size


def test_a_chunked_response_is_assembled(localstack: LocalStack) -> None:
    """The Rust runtime sends its responses in chunks."""
    shebang = python_function("").partition("\n")[0]
    name = localstack.create_function(f"{shebang}\n{CHUNKED}")

    assert invoke(localstack, name).result == {"pieces": [1, 2, 3]}
    assert invoke(localstack, name).result == {"pieces": [1, 2, 3]}


def test_an_environment_is_reused(localstack: LocalStack) -> None:
    """One process serves one call after another and keeps its state."""
    name = localstack.create_function(
        python_function("calls.append(1); return [os.getpid(), len(calls)]", at_start="calls = []")
    )

    answers = [invoke(localstack, name).result for _ in range(3)]

    pid = answers[0][0]
    assert answers == [[pid, 1], [pid, 2], [pid, 3]]


def test_concurrent_calls_run_at_the_same_time(localstack: LocalStack, tmp_path: Path) -> None:
    """Each of several calls gets its own process; the unzipped code exists once."""
    name = localstack.create_function(MEETING, timeout=60)
    guests = 8
    events = [{"place": str(tmp_path), "number": n, "guests": guests} for n in range(guests)]

    answers = [answer.result for answer in invoke_at_once(localstack, name, events)]

    assert len({pid for pid, _ in answers}) == guests
    assert len({code for _, code in answers}) == 1
    # These processes are enough for the next calls.
    assert invoke(localstack, name, events[0] | {"number": "next"}).result in answers


def test_many_calls_on_few_processes(localstack: LocalStack) -> None:
    """Under load, each caller gets its own response, and environments are shared."""
    name = localstack.create_function(python_function("return [event, os.getpid()]"), timeout=60)
    invoke(localstack, name)

    answers = [invoke_at_once(localstack, name, list(range(20))) for _ in range(5)]

    results = [answer.result for some in answers for answer in some]
    assert [event for event, _ in results] == list(range(20)) * 5
    assert len({pid for _, pid in results}) <= 21


def test_an_asynchronous_call_runs_too(localstack: LocalStack, tmp_path: Path) -> None:
    """`Event` invocations are accepted immediately and processed later."""
    name = localstack.create_function(python_function("open(event['mark'], 'x').close()"))
    mark = tmp_path / "done"

    localstack.client("lambda").invoke(
        FunctionName=name,
        InvocationType="Event",
        Payload=json.dumps({"mark": str(mark)}).encode(),
    )

    wait_until(mark.exists, "the asynchronous invocation is processed")
