"""Becomes an Apache Kafka broker that keeps its records in a folder.

    python broker.py --java JAVA --jars FOLDER --archives FOLDER --data FOLDER --listen HOST:PORT
                     [--password-file FILE] [--certificates FOLDER]

The folder is prepared the first time. Then this process becomes Java, so that whoever started it
signals the broker directly.

With a password, the broker lets in only its user, over TLS. The authority that clients have to
trust is then in tls/authority.pem: that of the folder, or one of its own. Without a password, it
lets in everybody.

A login is valid for a minute or, if there is a file session-ms in the folder, for as many
milliseconds as that says.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import os
import random
import shutil
import socket
import subprocess
import uuid
from pathlib import Path

import certificates

HERE = Path(__file__).resolve().parent

# What a broker of one clinic needs: 128 MB of heap, without the threads and the compiled code that
# make a large broker fast.
MACHINE = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")

# Below are ports that people choose, above those that the local stack gives its services, and from
# 32768 on those that the system uses for outgoing connections.
CONTROLLER_PORTS = range(10_000, 20_000)

SETTINGS = Path("server.properties")
RECORDS = Path("records")
TLS = Path("tls")
USER = "patient-management"

# How long a client's login is valid, in milliseconds: a minute, unless the file says otherwise.
SESSION_MS = "60000"
SESSION = Path("session-ms")


def main() -> None:
    """Prepare the folder, and become the broker."""
    parser = argparse.ArgumentParser()
    for option in ("--jars", "--archives", "--data"):
        parser.add_argument(option, type=Path, required=True)
    for option in ("--java", "--listen"):
        parser.add_argument(option, required=True)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--certificates", type=Path)
    arguments = parser.parse_args()

    jars = sorted(arguments.jars.absolute().glob("*.jar"))
    archives = arguments.archives.absolute()
    password = arguments.password_file and arguments.password_file.read_text()
    shown = arguments.certificates and arguments.certificates.absolute()
    java = [
        arguments.java,
        *MACHINE,
        # As a URI, in which no character has a special meaning for log4j.
        f"-Dlog4j2.configurationFile={(HERE / 'log4j2.properties').as_uri()}",
        *("-cp", ":".join(map(str, jars))),
    ]
    # Without a locale, Java cannot open files with non-ASCII names.
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    # From here on, names are relative: a path may contain characters that a properties file cannot
    # represent, or the comma that separates folders there.
    arguments.data.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.data)
    if password and not TLS.exists():
        # A broker learns of its user when its folder is made: records from before cannot be kept.
        shutil.rmtree(RECORDS, ignore_errors=True)
        certificates.make(TLS)
    if password and shown:
        for name in (certificates.AUTHORITY, certificates.BROKER):
            shutil.copy(shown / name, TLS / name)
    SETTINGS.touch()
    SETTINGS.chmod(0o600)
    SETTINGS.write_text(settings(RECORDS, arguments.listen, password))
    if not RECORDS.exists():
        format_storage(java, arguments.listen, password)
    archived = use_archive(java, archives)
    os.execvp(java[0], [*java, *archived, "kafka.Kafka", str(SETTINGS)])


def settings(records: Path, listen: str, password: str | None) -> str:
    """The whole configuration. The voters are given by address here instead of being stored at the
    first start, so that the ports may differ next time.
    """
    controller = f"127.0.0.1:{unused_port()}"
    protocol = "SASL_SSL" if password else "PLAINTEXT"
    own = {
        "listeners": f"CLIENTS://{listen},CONTROLLER://{controller}",
        "advertised.listeners": f"CLIENTS://{listen}",
        "listener.security.protocol.map": f"CLIENTS:{protocol},CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": f"1@{controller}",
        "log.dirs": str(records),
        **(protection(password) if password else {}),
    }
    lines = [(HERE / "server.properties").read_text(), *(f"{k}={v}" for k, v in own.items())]
    return "\n".join(lines) + "\n"


def protection(password: str) -> dict[str, str]:
    """TLS, and SCRAM for everybody, the broker itself included."""
    login = "org.apache.kafka.common.security.scram.ScramLoginModule"
    mechanism = "SCRAM-SHA-512"
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(TLS / certificates.BROKER),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(TLS / certificates.AUTHORITY),
        "sasl.mechanism.inter.broker.protocol": mechanism,
        "listener.name.clients.sasl.enabled.mechanisms": mechanism,
        # Then a client has to log in again, as on MSK when its token ends. Those that do not are
        # disconnected.
        f"listener.name.clients.{mechanism.lower()}.connections.max.reauth.ms": session(),
        f"listener.name.clients.{mechanism.lower()}.sasl.jaas.config": (
            f'{login} required username="{USER}" password="{password}";'
        ),
    }


def session() -> str:
    """How long a login is valid."""
    return SESSION.read_text().strip() if SESSION.exists() else SESSION_MS


def unused_port() -> int:
    """A port for the broker's communication with itself."""
    for port in random.sample(CONTROLLER_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise SystemExit(f"there is no free port in {CONTROLLER_PORTS}")


def format_storage(java: list[str], listen: str, password: str | None) -> None:
    """Create a new cluster's folder: under a temporary name first, so that half of it never
    counts.
    """
    fresh = RECORDS.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    elsewhere = SETTINGS.with_suffix(".new")
    elsewhere.touch()
    elsewhere.chmod(0o600)
    elsewhere.write_text(settings(fresh, listen, password))
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # As one argument, because an id may begin with a hyphen.
    made = ["format", f"--cluster-id={cluster}", "--config", str(elsewhere)]
    if password:
        made += ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={password}]"]
    tool = [*java, "kafka.tools.StorageTool", *made]
    subprocess.run(tool, check=True)
    elsewhere.unlink()
    fresh.rename(RECORDS)


def use_archive(java: list[str], archives: Path) -> list[str]:
    """Let Java load its classes from an archive, which halves the time of a start. The first broker
    that stops writes it, and the next start checks that it is complete.
    """
    # An archive is valid for one build of Java and one class path.
    version = subprocess.run([java[0], "-version"], capture_output=True, check=True).stderr
    name = hashlib.sha256(version + "\0".join(java).encode()).hexdigest()[:16]
    archive = archives / f"{name}.jsa"
    for written in archives.glob(f"{name}.*.new"):
        if not archive.exists() and loads(java, written):
            written.replace(archive)
        else:
            written.unlink(missing_ok=True)
    if archive.exists():
        return [f"-XX:SharedArchiveFile={archive}"]
    archives.mkdir(parents=True, exist_ok=True)
    return [f"-XX:ArchiveClassesAtExit={archives / f'{name}.{os.getpid()}.new'}"]


def loads(java: list[str], archive: Path) -> bool:
    """Whether Java can use the whole archive: a truncated file crashes the virtual machine."""
    size = archive.stat().st_size
    check = [*java, f"-XX:SharedArchiveFile={archive}", "-Xshare:on", "-version"]
    done = subprocess.run(check, capture_output=True, check=False, cwd=archive.parent)
    return size > 0 and done.returncode == 0


if __name__ == "__main__":
    main()
