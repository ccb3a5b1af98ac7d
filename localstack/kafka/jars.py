"""Fetches Apache Kafka's jars into a folder: those of jars.lock, and no other bytes.

    python jars.py FOLDER          fetch what the lock names, each by its SHA-256
    python jars.py --lock          write the lock anew, from the versions below
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

# The broker, and what writes its log. The exclamation marks have each bring what it was built
# with: without them the second one's list of versions would rule, with an older kafka-clients.
ROOTS = ("org.apache.kafka:kafka_2.13:4.4.0!", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5!")

# Nine jars are nearly all of the 45 MB: more connections than this do not help.
CONNECTIONS = 6
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 1.0


class Refused(Exception):
    """What came is not what the lock names."""


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
    """The jars of the lock, a line each: `group:artifact:version sha256:…`."""
    for line in LOCK.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinate, checksum = line.split(" sha256:")
            yield Jar(*coordinate.split(":"), checksum)


def fetch(jar: Jar, folder: Path) -> None:
    """Put the jar into the folder. A registry that is busy is asked again."""
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
    # A repository of its own: jgo takes the rest of a broken download for the whole next time.
    with tempfile.TemporaryDirectory(dir=folder) as repository:
        context = MavenContext(repo_cache=Path(repository), timeout=30)
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        path = component.artifact().resolve()
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != jar.sha256:
            raise Refused(f"its SHA-256 is {found}, and {jar.sha256} in {LOCK.name}")
        path.replace(folder / jar.file_name)


def fetch_all(folder: Path) -> None:
    """Fetch every jar of the lock that is not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("tmp*"):
        shutil.rmtree(leftover)
    missing = [jar for jar in locked() if not (folder / jar.file_name).exists()]
    with ThreadPoolExecutor(CONNECTIONS) as connections:
        done = connections.map(lambda jar: (fetch(jar, folder), jar)[1], missing)
        for number, jar in enumerate(done, start=1):
            print(f"{number} of {len(missing)}: {jar.file_name}", flush=True)


def write_lock() -> None:
    """Resolve the roots and all they need at run time, and write down what came."""
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
