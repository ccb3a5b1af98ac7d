#!/usr/bin/env bash
# aws-sam-translator 1.107.0 (PyPI): a policy that a YAML alias repeats is refused, if it is a
# condition.
#
# Expected: an alias stands for the node that it names (YAML 1.2.2, 7.1), so a template with one means
# the same as the template with the node written twice. `sam build` and cfn-lint take both.
#
# Seen: where two functions share a whole `!If` in their `Policies` by an alias, the second is an
# invalid document. The translator turns the policy into its final form within the parsed template,
# and the second function finds that form. An alias for what is *in* the `!If` works.
#
# For us: what many functions may do is in managed policies, or is written out by `make generate`;
# in `Policies` no alias stands for a condition (functions/*/template.yaml).
#
# Output (2026-11-30, Linux x86-64, Python 3.11):
#   written twice: 2 roles
#   the condition by an alias: Policy at index 0 in the 'Policies' property is not valid
#   what is in it by an alias: 2 roles
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check \
  aws-sam-translator==1.107.0 pyyaml==6.0.3

cat > "$folder/translate.py" <<'PYTHON'
import os
from unittest.mock import MagicMock

import yaml

os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.public.translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform

STATEMENT = "{ Statement: [{ Effect: Allow, Action: 's3:GetObject', Resource: '*' }] }"
CONDITION = f"!If [Wanted, {STATEMENT}, !Ref AWS::NoValue]"


class Loader(yaml.SafeLoader):
    """YAML with the short forms of CloudFormation's functions."""


def short_form(loader, name, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    else:
        value = loader.construct_sequence(node, deep=True)
    return {name if name == "Ref" else f"Fn::{name}": value}


Loader.add_multi_constructor("!", short_form)


def function(name, policy):
    return f"""
  {name}:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: a.b
      InlineCode: "pass"
      Policies: [{policy}]"""


def translated(first, second):
    template = f"""
Transform: AWS::Serverless-2016-10-31
Parameters: {{ Answer: {{ Type: String, Default: yes }} }}
Conditions: {{ Wanted: !Equals [!Ref Answer, yes] }}
Resources:{function("One", first)}{function("Other", second)}
"""
    policies = ManagedPolicyLoader(MagicMock())
    try:
        result = transform(yaml.load(template, Loader), {}, policies)
    except InvalidDocumentException as error:
        return str(error.causes[0].message).split(". ")[-1].rstrip(".")
    roles = [each for each in result["Resources"].values() if each["Type"] == "AWS::IAM::Role"]
    return f"{len(roles)} roles"


print("written twice:", translated(CONDITION, CONDITION))
print("the condition by an alias:", translated(f"&it {CONDITION}", "*it"))
inside = "!If [Wanted, {}, !Ref AWS::NoValue]"
both = (inside.format(f"&it {STATEMENT}"), inside.format("*it"))
print("what is in it by an alias:", translated(*both))
PYTHON

"$folder/python/bin/python" "$folder/translate.py" 2> "$folder/log" | tee "$folder/seen"
diff "$folder/seen" - <<'EXPECTED'
written twice: 2 roles
the condition by an alias: Policy at index 0 in the 'Policies' property is not valid
what is in it by an alias: 2 roles
EXPECTED
