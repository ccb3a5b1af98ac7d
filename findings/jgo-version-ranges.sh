#!/usr/bin/env bash
# jgo 3.2.0 (PyPI): an artifact whose POM names a range of versions cannot be fetched with what it needs.
#
# Expected: `[1.28.0,1.29.0)` is any version from 1.28.0 to below 1.29.0, as in Maven's reference of the
# POM ("Dependency Version Requirement Specification"); Maven takes 1.28.2.
#
# Seen: jgo resolves org.verapdf.apps:greenfield-apps without an error, with the range for a version,
# and then looks for a jar of that name.
#
# For us: shared/documents/verapdf.sh names every jar and its version.
#
# Output (2026-11-30, Linux x86-64, Python 3.11):
#   resolved: org.verapdf:validation-model:[1.28.0,1.29.0)
#   fetched: Artifact org.verapdf:validation-model:jar:[1.28.0,1.29.0) not found
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check jgo==3.2.0

cat > "$folder/fetch.py" <<'PYTHON'
import sys
from pathlib import Path

from jgo.maven import MavenContext

context = MavenContext(repo_cache=Path(sys.argv[1]), timeout=60)
root = context.create_dependency("org.verapdf.apps:greenfield-apps:1.28.2!")
for found in context.resolver.resolve([root])[1]:
    if found.artifactId == "validation-model":
        print(f"resolved: {found.groupId}:{found.artifactId}:{found.version}")
        try:
            print("fetched:", found.artifact.resolve().name)
        except RuntimeError as reason:
            print("fetched:", str(reason).partition(" in ")[0])
PYTHON
"$folder/python/bin/python" "$folder/fetch.py" "$folder/repository" | tee "$folder/seen"

diff "$folder/seen" - <<'EXPECTED' && echo "as stated"
resolved: org.verapdf:validation-model:[1.28.0,1.29.0)
fetched: Artifact org.verapdf:validation-model:jar:[1.28.0,1.29.0) not found
EXPECTED
