"""Whoever invokes a function waits for its response, but not for what it does after it."""

from __future__ import annotations

from pathlib import Path

from functions import is_running
from lambda_extensions import extended_function
from rest_api import RestApi, route
from sam import deploy, function, upload
from stack import LocalStack, wait_until


def test_a_request_does_not_wait_for_the_work_of_its_authorizer(
    localstack: LocalStack, tmp_path: Path
) -> None:
    """Nor for that of the function behind the API."""
    done = tmp_path / "done"
    wait = f"wait_for({str(done)!r})"
    allow = """
statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
document = {"Version": "2012-10-17", "Statement": [statement]}
context = {"pid": os.getpid()}
return {"principalId": "the-principal", "policyDocument": document, "context": context}
"""
    respond = """
context = event["requestContext"]["authorizer"]
return {"statusCode": 200, "body": json.dumps([os.getpid(), int(context["pid"])])}
"""
    authorizer, backend = (
        upload(localstack, extended_function(handler, after=wait)) for handler in (allow, respond)
    )
    resources = {
        "Authorizer": function(authorizer, Timeout=60),
        "Backend": function(
            backend,
            Timeout=60,
            Events={"Route": route("/route", "ByToken")},
        ),
        "Api": {
            "Type": "AWS::Serverless::Api",
            "Properties": {
                "StageName": "test",
                "Auth": {
                    "Authorizers": {
                        "ByToken": {
                            "FunctionArn": {"Fn::GetAtt": ["Authorizer", "Arn"]},
                            "Identity": {"ReauthorizeEvery": 0},
                        }
                    }
                },
            },
        },
    }
    api = RestApi(localstack, deploy(localstack, resources, ApiId={"Ref": "Api"})["ApiId"])

    pids = [pid for _ in range(2) for pid in api.get("/route", "token").json()]

    assert len(set(pids)) == 4
    assert all(map(is_running, pids))
    done.touch()


def test_an_event_source_mapping_does_not_wait_for_the_work(
    localstack: LocalStack, tmp_path: Path
) -> None:
    """The next messages are delivered to another environment, and those delivered are gone."""
    done = tmp_path / "done"
    name = localstack.create_function(
        extended_function(
            f"open({str(tmp_path)!r} + '/' + event['Records'][0]['body'], 'x').close()",
            after=f"wait_for({str(done)!r})",
        ),
        timeout=60,
    )
    queues, functions = localstack.client("sqs"), localstack.client("lambda")
    attributes = {"VisibilityTimeout": "60"}
    queue = queues.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    mapping = functions.create_event_source_mapping(
        FunctionName=name, EventSourceArn=arn["Attributes"]["QueueArn"], BatchSize=1
    )

    for message in ("first", "second"):
        queues.send_message(QueueUrl=queue, MessageBody=message)
        wait_until((tmp_path / message).exists, f"the {message} message is delivered")
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def empty() -> bool:
        found = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=counts)["Attributes"]
        return all(found[count] == "0" for count in counts)

    wait_until(empty, "the messages are deleted")
    functions.delete_event_source_mapping(UUID=mapping["UUID"])
    done.touch()
