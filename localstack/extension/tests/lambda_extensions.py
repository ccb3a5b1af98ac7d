"""Functions with an internal extension, and the log that they leave behind."""

from __future__ import annotations

from stack import LocalStack, python_function, wait_until

# Calls the Extensions API, each time on a connection of its own.
CALLS = """
import queue, threading

def call(method, path, body=None, **headers):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    headers = {"Lambda-Extension-" + key.replace("_", "-"): headers[key] for key in headers}
    connection.request(method, "/2020-01-01/extension/" + path, body, headers)
    answer = connection.getresponse()
    return answer.status, dict(answer.headers), json.loads(answer.read())

def register(name="worker", events='{"events": ["INVOKE"]}', **headers):
    return call("POST", "register", events, Name=name, **headers)

def identify(registered):
    return registered[1]["Lambda-Extension-Identifier"]

def attend(registered):
    def ask_again_and_again():
        while call("GET", "event/next", Identifier=identify(registered)):
            pass
    threading.Thread(target=ask_again_and_again, daemon=True).start()

def wait_for(file):
    while not os.path.exists(file):
        time.sleep(0.01)
"""


def extended_function(
    handler: str, *, after: str = "", at_start: str = "", before_next: str = ""
) -> str:
    """A `bootstrap` whose extension runs the body of `def after(event, seen)` after a response.

    `seen` is what the extension got from the Extensions API, `before_next` runs before it asks for
    anything.
    """
    after = "\n".join(f"    {line}" for line in (after.strip() or "pass").splitlines())
    extension = f"""
{CALLS}
def after(event, seen):
{after}

def extend():
    {before_next}
    while True:
        seen = call("GET", "event/next", Identifier=identifier)
        after(responded.get(), seen)

{at_start}
responded = queue.Queue()
identifier = identify(register())
threading.Thread(target=extend, daemon=True).start()
"""
    return python_function(handler, at_start=extension, after_response="responded.put(event)")


def log_lines(localstack: LocalStack, name: str) -> list[str]:
    """What the function has logged so far."""
    return (localstack.function_logs / f"{name}.log").read_text().splitlines()


def wait_for_report(localstack: LocalStack, name: str, request_id: str) -> list[str]:
    """The lines of the invocation, without those of an initialization, once it is reported."""

    def lines() -> list[str]:
        found = [line for line in log_lines(localstack, name) if not line.startswith("EXTENSION")]
        end = position(found, f"REPORT RequestId: {request_id}")
        if end is None:
            return []
        return found[position(found, f"START RequestId: {request_id}") : end + 1]

    def position(found: list[str], beginning: str) -> int | None:
        return next((n for n, line in enumerate(found) if line.startswith(beginning)), None)

    return wait_until(lines, f"the report of {request_id}")
