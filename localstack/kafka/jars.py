"""Fetches Apache Kafka's jars into a folder: exactly those in jars.lock.

    python jars.py FOLDER          fetch the locked jars, verified by SHA-256
    python jars.py --lock          regenerate the lock, from the versions below
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests
from jgo.maven import MavenContext

LOCK = Path(__file__).with_name("jars.lock")

# The broker, and what writes its log. The exclamation marks give each the versions it was built
# with: without them, the second one's list of versions would prevail, with an older kafka-clients.
ROOTS = ("org.apache.kafka:kafka_2.13:4.4.0!", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5!")

# Nine jars make up nearly all of the 45 MB: more connections than this do not help.
CONNECTIONS = 6
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 1.0


class Refused(Exception):
    """What was fetched is not what the lock names."""


@dataclass(frozen=True)
class Jar:
    """An artifact of exactly this content."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name in the folder, which is the name in the repository."""
        return f"{self.artifact}-{self.version}.jar"


def locked() -> Iterator[Jar]:
    """The locked jars, one per line: `group:artifact:version sha256:…`."""
    for line in LOCK.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinate, checksum = line.split(" sha256:")
            yield Jar(*coordinate.split(":"), checksum)


def fetch(jar: Jar, folder: Path) -> None:
    """Fetch the jar into the folder. If the registry is busy, retry."""
    pause = FIRST_PAUSE_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch_once(jar, folder)
            return
        except (requests.RequestException, RuntimeError, Refused) as reason:
            if attempt == ATTEMPTS:
                raise SystemExit(f"{jar.file_name} could not be fetched: {reason}") from reason
            print(f"{jar.file_name}: {reason}; trying again in {pause:g} s", flush=True)
        time.sleep(pause)
        pause *= 2


def _fetch_once(jar: Jar, folder: Path) -> None:
    # A repository of its own: jgo would take the rest of an interrupted download for the whole
    # file.
    with tempfile.TemporaryDirectory(dir=folder) as repository:
        context = MavenContext(repo_cache=Path(repository), timeout=30)
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        path = component.artifact().resolve()
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != jar.sha256:
            raise Refused(f"its SHA-256 is {found}, but {jar.sha256} in {LOCK.name}")
        path.replace(folder / jar.file_name)


def fetch_all(folder: Path) -> None:
    """Fetch every locked jar that is not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("tmp*"):
        shutil.rmtree(leftover)
    missing = [jar for jar in locked() if not (folder / jar.file_name).exists()]
    with ThreadPoolExecutor(CONNECTIONS) as connections:
        done = connections.map(lambda jar: (fetch(jar, folder), jar)[1], missing)
        for number, jar in enumerate(done, start=1):
            print(f"{number} of {len(missing)}: {jar.file_name}", flush=True)


def write_lock() -> None:
    """Resolve the roots and everything they need at run time, and write the lock."""
    with tempfile.TemporaryDirectory() as repository:
        context = MavenContext(repo_cache=Path(repository), timeout=30)
        roots = [context.create_dependency(root) for root in ROOTS]
        inputs, transitive = context.resolver.resolve(roots)
        lines = set()
        for dependency in (*inputs, *transitive):
            if dependency.scope in ("compile", "runtime", None):
                checksum = hashlib.sha256(dependency.artifact.resolve().read_bytes()).hexdigest()
                name = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
                lines.add(f"{name} sha256:{checksum}")
    header = "# Apache Kafka and all it needs at run time; written by `python jars.py --lock`.\n"
    LOCK.write_text(header + "\n".join(sorted(lines)) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--lock"]:
        write_lock()
    else:
        fetch_all(Path(sys.argv[1]))
