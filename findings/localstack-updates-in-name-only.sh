#!/usr/bin/env bash
# LocalStack 4.13.1 (PyPI, community): CloudFormation reports an update as complete that it has not
# made.
#
# Expected: an update of a stack either changes the resources whose properties have changed, or
# fails and says which kind of resource cannot be updated.
#
# Seen: with a new schedule for an AWS::Events::Rule in the template, `update-stack` ends with
# UPDATE_COMPLETE, for the stack and for the rule. The rule has the schedule that it had before.
#
# For us: a change of the template is applied in place only if it is one of the kinds that were
# tried, and is compared with what is there afterwards; otherwise LocalStack starts anew
# (localstack/orchestrator/src/deployment).
#
# Output (2026-11-29, Linux x86-64, Python 3.11):
#   stack: UPDATE_COMPLETE, rule: UPDATE_COMPLETE
#   schedule: rate(1 hour)
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${localstack:-}" 2> /dev/null || true; rm -rf "$folder"' EXIT
trap 'tail -n 20 "$folder/log" >&2 || true' ERR
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
  --requirement "$(dirname "$0")/../localstack/locks/localstack.txt"

port=$("$folder/python/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export GATEWAY_LISTEN="127.0.0.1:$port" LOCALSTACK_HOST="localhost:$port"
export FILESYSTEM_ROOT="$folder/filesystem" LOCALSTACK_VOLUME_DIR="$folder/volume"
export XDG_CACHE_HOME="$folder/cache" TMPDIR="$folder" DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 DNS_ADDRESS=0
"$folder/python/bin/python" -m localstack.runtime.main > "$folder/log" 2>&1 &
localstack=$!

cat > "$folder/update.py" <<'PYTHON'
import json
import sys
import time
import urllib.request

import boto3

URL = f"http://127.0.0.1:{sys.argv[1]}"


def client(service):
    return boto3.client(
        service,
        endpoint_url=URL,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def template(schedule):
    rule = {"Name": "of-the-stack", "ScheduleExpression": schedule, "State": "ENABLED"}
    return json.dumps({"Resources": {"Rule": {"Type": "AWS::Events::Rule", "Properties": rule}}})


deadline = time.monotonic() + 120
while True:
    try:
        urllib.request.urlopen(f"{URL}/_localstack/health", timeout=2)
        break
    except OSError:
        if time.monotonic() > deadline:
            sys.exit("LocalStack does not start")
        time.sleep(1)

formation = client("cloudformation")
formation.create_stack(StackName="stack", TemplateBody=template("rate(1 hour)"))
formation.get_waiter("stack_create_complete").wait(StackName="stack", WaiterConfig={"Delay": 1})
formation.update_stack(StackName="stack", TemplateBody=template("rate(1 minute)"))
formation.get_waiter("stack_update_complete").wait(StackName="stack", WaiterConfig={"Delay": 1})

status = formation.describe_stacks(StackName="stack")["Stacks"][0]["StackStatus"]
[rule] = formation.describe_stack_resources(StackName="stack")["StackResources"]
print(f"stack: {status}, rule: {rule['ResourceStatus']}")
schedule = client("events").describe_rule(Name="of-the-stack")["ScheduleExpression"]
print(f"schedule: {schedule}")
PYTHON

expected='stack: UPDATE_COMPLETE, rule: UPDATE_COMPLETE
schedule: rate(1 hour)'
found=$("$folder/python/bin/python" "$folder/update.py" "$port")
printf '%s\n' "$found"
diff <(printf '%s\n' "$expected") <(printf '%s\n' "$found")
