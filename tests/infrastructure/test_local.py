"""The local stack gets what LocalStack knows, and nothing else.

LocalStack has a setting that refuses unknown types (`CFN_IGNORE_UNSUPPORTED_RESOURCE_TYPES=0`). In
4.13.1, without the internet, it refuses every type there is, so that it is of no use here.
"""

from __future__ import annotations

from stacks import APPLICATION, Stack, read

# LocalStack makes a stub of any other type and says that it has succeeded.
KNOWN_TO_LOCALSTACK = {
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGateway::Stage",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Role",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::SubscriptionFilter",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::SecretsManager::Secret",
}


def local() -> Stack:
    """The application as `make up` deploys it."""
    values = {
        "Environment": "local",
        "DatabaseAuthentication": "PASSWORD",
        "KafkaAuthentication": "SCRAM",
        "KafkaCaCertificate": "a certificate",
        "KafkaSecretArn": "arn:aws:secretsmanager:eu-central-1:000000000000:secret:kafka",
        "VpcSubnetIds": "",
    }
    return Stack(APPLICATION, read(APPLICATION), values)


def test_no_resource_is_a_stub() -> None:
    """Whatever exists only on AWS depends on a condition."""
    assert {each["Type"] for each in local().resources.values()} <= KNOWN_TO_LOCALSTACK


def test_functions_have_neither_network_nor_limits() -> None:
    """And no permission for a Kafka that is not MSK."""
    stack = local()
    for name, function in stack.of_type("AWS::Lambda::Function"):
        assert "VpcConfig" not in function, name
        assert "ReservedConcurrentExecutions" not in function, name
        assert "kafka-cluster" not in str(stack.role_of(name)), name
    for name, mapping in stack.of_type("AWS::Lambda::EventSourceMapping"):
        assert "ProvisionedPollerConfig" not in mapping, name
