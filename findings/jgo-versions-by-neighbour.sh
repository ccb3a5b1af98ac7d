#!/usr/bin/env bash
# jgo 3.2.0 (PyPI): the dependencies of one artifact get other versions if an unrelated artifact is
# requested with it.
#
# Expected: org.apache.kafka:kafka_2.13:4.4.0 comes with the kafka-clients that it was released
# with, 4.4.0, as with Maven, where direct dependencies do not manage the versions of each other's
# dependencies.
#
# Seen: with org.apache.logging.log4j:log4j-slf4j-impl:2.25.5 beside it, kafka-clients is 3.9.1: an
# older major version of the client library in a newer broker, without a warning. jgo treats each
# requested artifact as a list of managed versions (a BOM), and the parent of log4j's modules
# manages the versions of what log4j is tested with, including kafka-clients and Jackson. With an
# exclamation mark after each coordinate, both come as they were released.
#
# For us: localstack/kafka/jars.py uses exclamation marks, and its lock contains what was resolved.
#
# Output (2026-11-29, Linux x86-64, Python 3.11):
#   kafka alone                        kafka-clients 4.4.0
#   kafka, log4j-slf4j-impl            kafka-clients 3.9.1
#   kafka!, log4j-slf4j-impl!          kafka-clients 4.4.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check jgo==3.2.0

cat > "$folder/versions.py" <<'PYTHON'
import sys
from pathlib import Path

from jgo.maven import MavenContext

context = MavenContext(repo_cache=Path(sys.argv[1]), timeout=60)


def clients(label, *coordinates):
    inputs = [context.create_dependency(each) for each in coordinates]
    for found in context.resolver.resolve(inputs)[1]:
        if found.artifactId == "kafka-clients":
            print(f"{label:<34} kafka-clients {found.version}")


kafka, log4j = "org.apache.kafka:kafka_2.13:4.4.0", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"
clients("kafka alone", kafka)
clients("kafka, log4j-slf4j-impl", kafka, log4j)
clients("kafka!, log4j-slf4j-impl!", f"{kafka}!", f"{log4j}!")
PYTHON
"$folder/python/bin/python" "$folder/versions.py" "$folder/repository" | tee "$folder/seen"

diff "$folder/seen" - <<'EXPECTED' && echo "as stated"
kafka alone                        kafka-clients 4.4.0
kafka, log4j-slf4j-impl            kafka-clients 3.9.1
kafka!, log4j-slf4j-impl!          kafka-clients 4.4.0
EXPECTED
