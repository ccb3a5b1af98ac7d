"""A real Kafka broker, and helpers for using it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stack import free_port, wait_until

# The user that a broker makes for its password.
USER = "patient-management"


def broker_command() -> list[str]:
    """The command that becomes a broker, as the local stack starts it."""
    command = os.environ.get("KAFKA_BROKER_COMMAND")
    assert command, "KAFKA_BROKER_COMMAND must be set: `local-stack tool pytest` sets it"
    return json.loads(command)


@dataclass
class KafkaBroker:
    """A broker with its data in `directory`; it can be killed and restarted."""

    directory: Path
    port: int = field(default_factory=free_port)
    # With a password, only its user is let in, over TLS.
    password: str | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        """The bootstrap servers."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the broker and wait until it responds."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *broker_command(),
                    *("--data", str(self.directory.absolute())),
                    *("--listen", self.servers),
                    *self._protection(),
                ],
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory)},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._answers, f"the broker answers; see {self.directory}/broker.log")

    def _protection(self) -> list[str]:
        if self.password is None:
            return []
        file = self.directory / "password"
        file.write_text(self.password)
        return ["--password-file", str(file.absolute())]

    @property
    def authority(self) -> str:
        """The certificate that clients have to trust, if there is a password."""
        return (self.directory / "tls" / "authority.pem").read_text()

    def _access(self) -> dict[str, str]:
        """The settings of a client."""
        if self.password is None:
            return {"bootstrap.servers": self.servers}
        # Before it is there, no broker answers either.
        authority = self.directory / "tls" / "authority.pem"
        return {
            "bootstrap.servers": self.servers,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(authority),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": USER,
            "sasl.password": self.password,
        }

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"the broker ended; see {self.directory}/broker.log"
        try:
            self._admin().list_topics(timeout=1)
        except KafkaException:
            return False
        return True

    def kill(self) -> None:
        """Kill the broker without a chance to clean up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    def create_topic(self, partitions: int = 1, name: str | None = None) -> str:
        """Create a topic and return its name."""
        name = name or f"topic.{uuid.uuid4().hex[:8]}"
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1)
        admin = self._admin()
        admin.create_topics([topic])[name].result(10)
        return name

    def produce(
        self,
        topic: str,
        *values: str | bytes | None,
        partition: int = 0,
        settings: dict[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Write records and wait for the broker's acknowledgement; `settings` are the
        producer's.
        """
        settings = {"linger.ms": 0, **(settings or {})}
        producer = Producer({**self._access(), **settings})
        refused: list[Any] = []

        def delivered(error: Any, _message: Any) -> None:
            if error:
                refused.append(error)

        for value in values:
            producer.produce(
                topic, value=value, partition=partition, on_delivery=delivered, **fields
            )
        assert producer.flush(20) == 0, "the broker did not accept all records"
        assert not refused, refused

    def transactional_producer(self) -> Producer:
        """A producer that is ready for transactions."""
        producer = Producer(
            {"bootstrap.servers": self.servers, "transactional.id": uuid.uuid4().hex}
        )
        producer.init_transactions(20)
        return producer

    def topics(self) -> set[str]:
        """The names of all topics."""
        return set(self._admin().list_topics(timeout=10).topics)

    @contextmanager
    def consumer(self, topic: str) -> Iterator[Consumer]:
        """A consumer of a topic's first partition, with the client's default settings."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": uuid.uuid4().hex})
        try:
            consumer.assign([TopicPartition(topic, 0, 0)])
            yield consumer
        finally:
            consumer.close()

    def committed(self, group: str, topic: str, partition: int = 0) -> int | None:
        """The committed offset of a consumer group."""
        consumer = Consumer({**self._access(), "group.id": group})
        try:
            found = consumer.committed([TopicPartition(topic, partition)], timeout=10)[0]
        finally:
            consumer.close()
        return found.offset if found.offset >= 0 else None

    def _admin(self) -> AdminClient:
        return AdminClient({**self._access(), "log_level": 0})
