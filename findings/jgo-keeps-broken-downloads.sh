#!/usr/bin/env bash
# jgo 3.2.0 (PyPI): the rest of an interrupted download is taken for the whole artifact the next
# time.
#
# Expected: a download goes to a temporary name first, or the file in the local repository is
# compared with the checksum beside it, so that the second attempt fetches the artifact again.
#
# Seen: the first attempt fails as it should. The part that had arrived stays in the local
# repository under the artifact's own name; from then on jgo returns it without contacting the
# registry, and without an error. Every program that shares that repository (~/.m2/repository by
# default) gets a jar that cannot be opened.
#
# For us: localstack/kafka/jars.py gives jgo a new repository for each attempt, and compares the
# SHA-256 itself.
#
# Output (2026-11-29, Linux x86-64, Python 3.11):
#   first attempt: failed
#   second attempt: answered 16384 of 40000 bytes, requests to the registry: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check jgo==3.2.0

cat > "$folder/attempts.py" <<'PYTHON'
import hashlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from jgo.maven import MavenContext

CONTENT = bytes(range(250)) * 160
requests = []


class Registry(BaseHTTPRequestHandler):
    """Interrupts its first response, as networks do, and works from then on."""

    def do_GET(self):
        requests.append(self.path)
        content = CONTENT
        if self.path.endswith(".sha1"):
            content = hashlib.sha1(CONTENT).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:20_000] if len(requests) == 1 else content)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
context = MavenContext(
    repo_cache=Path(sys.argv[1]),
    remote_repos={"local": f"http://127.0.0.1:{server.server_port}"},
)


def attempt(name):
    before = len(requests)
    artifact = context.project("org.example", "thing").at_version("1.0").artifact()
    try:
        size = artifact.resolve().stat().st_size
    except Exception:
        return print(f"{name} attempt: failed")
    asked = len(requests) - before
    print(
        f"{name} attempt: answered {size} of {len(CONTENT)} bytes, "
        f"requests to the registry: {asked}"
    )


attempt("first")
attempt("second")
PYTHON
"$folder/python/bin/python" "$folder/attempts.py" "$folder/repository" | tee "$folder/seen"

diff "$folder/seen" - <<'EXPECTED' && echo "as stated"
first attempt: failed
second attempt: answered 16384 of 40000 bytes, requests to the registry: 0
EXPECTED
