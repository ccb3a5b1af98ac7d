"""The stacks as CloudFormation would see them: one size at a time, with conditions and mappings
evaluated, and with what one stack passes on to the next.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

REPOSITORY = Path(__file__).parents[2]

# For the scripts that are tested.
sys.path.insert(0, str(REPOSITORY / "infrastructure"))
from evaluated import Stack  # noqa: E402

SIZES = ["economy", "hospital"]

# In the order in which they are deployed.
INFRASTRUCTURE = ["network", "data", "billing"]
APPLICATION = "application"
OPERATIONS = "operations"
STACKS = [*INFRASTRUCTURE, APPLICATION, OPERATIONS]


@cache
def read(stack: str) -> dict:
    """The template of a stack; that of the application as SAM expands it."""
    if stack != APPLICATION:
        return yaml_parse((REPOSITORY / f"infrastructure/{stack}.yaml").read_text())
    template = yaml_parse((REPOSITORY / "template.yaml").read_text())
    # As after `sam deploy` has uploaded the binaries.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/" + "x" * 32
    values = {
        name: parameter.get("Default", "x" * 40)
        for name, parameter in template["Parameters"].items()
    }
    session = boto3.session.Session(region_name="eu-central-1")
    return Translator({}, Parser(), boto_session=session).translate(template, values)


class Templates(dict[str, dict]):
    """The templates of all stacks, to be changed at will: whoever asks for one gets a copy."""

    def __init__(self) -> None:
        """As they are."""
        super().__init__({stack: read(stack) for stack in STACKS})

    def __getitem__(self, stack: str) -> dict:
        """A copy of its own, made when it is asked for."""
        if super().__getitem__(stack) is read(stack):
            self[stack] = copy.deepcopy(read(stack))
        return super().__getitem__(stack)


def values_of(stack: str, size: str) -> dict[str, str]:
    """What `make deploy-aws` says, as far as something depends on it."""
    if stack != APPLICATION:
        return {"Size": size}
    return {
        "Environment": "aws",
        "DatabaseOwnerSecretKeyArn": "arn",
        "KafkaClusterArn": "arn",
        "VpcSubnetIds": "subnets",
        "FunctionConcurrency": "5",
        "AlarmTopicArn": "arn",
    }


@cache
def evaluated(stack: str, size: str) -> Stack:
    """A stack as it is. (Evaluating that of the application takes a while.)"""
    return Stack(stack, read(stack), values_of(stack, size))


@dataclass
class System:
    """All stacks of a size."""

    size: str
    stacks: dict[str, Stack]

    @classmethod
    def of(cls, size: str, templates: Templates | None = None) -> System:
        """The stacks as `make deploy-aws` deploys them."""
        return cls(
            size,
            {
                stack: evaluated(stack, size)
                if template is read(stack)
                else Stack(stack, template, values_of(stack, size))
                for stack, template in (templates or Templates()).items()
            },
        )

    def resources(self) -> Iterator[tuple[str, str, dict]]:
        """The stack, name and content of each resource."""
        for stack in self.stacks.values():
            for name, resource in stack.resources.items():
                yield stack.name, name, resource

    def of_type(self, type_: str) -> Iterator[tuple[str, dict]]:
        """The names and properties of all resources of a type."""
        for stack in self.stacks.values():
            yield from stack.of_type(type_)

    def permissions(self, function: str) -> list[dict]:
        """What a function of the application may do: the statements of its role and of the
        policies that the role shares with others.
        """
        application = self.stacks[APPLICATION]
        resources = application.resources
        role = application.role_of(function)
        shared = [
            resources[each["Ref"]]
            for each in role.get("ManagedPolicyArns", [])
            if isinstance(each, dict) and each.get("Ref") in resources
        ]
        return [*statements(role.get("Policies", [])), *statements(shared)]

    def origin(self, stack: str, value: object) -> tuple[str, object]:
        """Where a value comes from: the stack that has it, through parameters of the same name."""
        for _ in STACKS:
            names = parameters_in(value) & set(self.stacks[stack].template.get("Parameters", {}))
            if len(names) != 1:
                return stack, value
            (name,) = names
            giving = [
                earlier for earlier, each in self.stacks.items() if name in each.outputs
            ]
            if not giving:
                return stack, value
            stack, value = giving[0], self.stacks[giving[0]].outputs[name]
        return stack, value


def parameters_in(value: object) -> set[str]:
    """The name that a value consists of, if it is a reference to something."""
    match value:
        case {"Ref": str(name)}:
            return {name}
        case [{"Ref": str(name)}]:
            return {name}
    return set()


def references(value: object) -> Iterator[tuple[str, str | None]]:
    """What a value refers to: names, and attributes."""
    if isinstance(value, list):
        for each in value:
            yield from references(each)
    if not isinstance(value, dict):
        return
    for key, each in value.items():
        if key == "Ref":
            yield each, None
        elif key == "Fn::GetAtt":
            name, attribute = each.split(".", 1) if isinstance(each, str) else each
            yield name, attribute
        elif key == "Fn::Sub":
            text, own = (each, {}) if isinstance(each, str) else (each[0], each[1])
            for name in re.findall(r"\$\{([^!}][^}]*)\}", text):
                if name not in own:
                    resource, _, attribute = name.partition(".")
                    yield resource, attribute or None
            yield from references(own)
        else:
            yield from references(each)


def as_list(value: object) -> list:
    """A value that may stand alone, as a list."""
    return value if isinstance(value, list) else [value]


def statements(resource: dict) -> Iterator[dict]:
    """The statements of all policies within a resource."""
    if isinstance(resource, list):
        for each in resource:
            yield from statements(each)
    if isinstance(resource, dict):
        for key, value in resource.items():
            if key == "Statement":
                yield from (each for each in as_list(value) if isinstance(each, dict))
            else:
                yield from statements(value)
