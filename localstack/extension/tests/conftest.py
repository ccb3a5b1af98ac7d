"""Fixtures: one LocalStack with the extension for the whole session, and its DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka import KafkaBroker
from stack import Daemon, LocalStack, dynamodb_server, free_port, install_extension


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the installed extension, for PYTHONPATH."""
    return install_extension(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="session")
def dynamodb_port() -> int:
    """The port that LocalStack forwards DynamoDB calls to, whether or not a server runs there."""
    return free_port()


@pytest.fixture(scope="session")
def kafka_port() -> int:
    """The port of the brokers of any MSK cluster, whether or not one runs there."""
    return free_port()


@pytest.fixture(scope="session")
def localstack(
    tmp_path_factory: pytest.TempPathFactory,
    extension: Path,
    dynamodb_port: int,
    kafka_port: int,
) -> Iterator[LocalStack]:
    """The LocalStack that all tests share; those that stop one start their own."""
    stack = LocalStack(
        directory=tmp_path_factory.mktemp("localstack"),
        extension=extension,
        environment={
            "PROVIDER_OVERRIDE_DYNAMODB": "dynoxide",
            "DYNOXIDE_URL": f"http://127.0.0.1:{dynamodb_port}",
            "KAFKA_BOOTSTRAP_SERVERS_FOR_MSK": f"127.0.0.1:{kafka_port}",
        },
    )
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def dynamodb(tmp_path_factory: pytest.TempPathFactory, dynamodb_port: int) -> Iterator[Daemon]:
    """The running DynamoDB server behind `localstack`."""
    server = dynamodb_server(tmp_path_factory.mktemp("dynamodb"), dynamodb_port)
    server.start()
    yield server
    server.end()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, kafka_port: int) -> Iterator[KafkaBroker]:
    """The broker that all tests share; those that stop one start their own."""
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"), kafka_port)
    broker.start()
    yield broker
    broker.kill()
