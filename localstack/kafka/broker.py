"""Becomes an Apache Kafka broker that keeps its records in a folder.

    python broker.py --java JAVA --jars FOLDER --archive FILE --data FOLDER --listen HOST:PORT

The folder is made ready the first time. Then this process becomes Java, so that whoever
started it signals the broker itself.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import uuid
from pathlib import Path

HERE = Path(__file__).parent

# What a broker of one clinic needs: 128 MB of objects, and none of the threads and the code
# that make a large one fast.
MACHINE = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")

# From here on, Java makes an archive of loaded classes by itself, and again when it is out of date.
MAKES_ARCHIVES = 19


def main() -> None:
    """Prepare, and become the broker."""
    parser = argparse.ArgumentParser()
    for option in ("--java", "--jars", "--data", "--archive"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--listen", required=True)
    arguments = parser.parse_args()

    records = arguments.data / "records"
    settings = arguments.data / "server.properties"
    write_settings(settings, records, arguments.listen)
    classes = ":".join(str(jar) for jar in sorted(arguments.jars.absolute().glob("*.jar")))
    java = [
        str(arguments.java),
        *MACHINE,
        f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}",
        *("-cp", classes),
    ]
    if not records.exists():
        format_storage(java, settings, records)
    archived = archive(arguments.java, arguments.archive)
    os.execvp(java[0], [*java, *archived, "kafka.Kafka", str(settings)])


def write_settings(settings: Path, records: Path, listen: str) -> None:
    """Write the whole configuration. The voters are given by address here, not stored at the
    first start, so that the ports may be others next time."""
    controller = f"127.0.0.1:{unused_port()}"
    own = {
        "listeners": f"CLIENTS://{listen},CONTROLLER://{controller}",
        "advertised.listeners": f"CLIENTS://{listen}",
        "controller.quorum.voters": f"1@{controller}",
        "log.dirs": str(records.absolute()),
    }
    lines = [(HERE / "server.properties").read_text(), *(f"{k}={v}" for k, v in own.items())]
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("\n".join(lines) + "\n")


def format_storage(java: list[str], settings: Path, records: Path) -> None:
    """Make a new cluster's folder: into another one first, so that half of it never counts."""
    fresh = records.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    elsewhere = settings.with_suffix(".new")
    text = settings.read_text().replace(f"log.dirs={records}", f"log.dirs={fresh}")
    elsewhere.write_text(text)
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    tool = [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(elsewhere)]
    subprocess.run(tool, check=True)
    elsewhere.unlink()
    fresh.rename(records)


def unused_port() -> int:
    """Find a port for what the broker says to itself. Those from 32768 on are given to outgoing
    connections, which could take it before the broker does."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise SystemExit("no free port was found between 20000 and 30000")


def archive(java: Path, file: Path) -> list[str]:
    """Have Java load its classes from an archive, which halves the time of a start. It is made
    at the end of a broker."""
    if java_version(java) >= MAKES_ARCHIVES:
        return ["-XX:+AutoCreateSharedArchive", f"-XX:SharedArchiveFile={file}"]
    if file.exists():
        return [f"-XX:SharedArchiveFile={file}"]
    return [f"-XX:ArchiveClassesAtExit={file}"]


def java_version(java: Path) -> int:
    """The number of the release, such as 17."""
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=True)
    return int(re.search(r'version "(\d+)', answer.stderr).group(1))


if __name__ == "__main__":
    main()
