"""A stack as CloudFormation would see it: with conditions and mappings evaluated, as far as the
values of its parameters are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

NO_VALUE = {"Ref": "AWS::NoValue"}


@dataclass
class Stack:
    """A stack with certain values for its parameters. What is not known stays as it is written."""

    name: str
    template: dict
    values: dict[str, str]

    def __post_init__(self) -> None:
        """Evaluate conditions, mappings and those parameters that are known."""
        parameters = self.template.get("Parameters", {})
        defaults = {
            name: each["Default"] for name, each in parameters.items() if "Default" in each
        }
        self.values = defaults | self.values
        self.conditions = {
            name: bool(self.evaluate(each))
            for name, each in self.template.get("Conditions", {}).items()
        }
        self.resources = {
            name: self.evaluate(resource)
            for name, resource in self.template["Resources"].items()
            if self.holds(resource.get("Condition"))
        }
        self.outputs = {
            name: self.evaluate(output["Value"])
            for name, output in self.template.get("Outputs", {}).items()
            if self.holds(output.get("Condition"))
        }

    def holds(self, condition: str | None) -> bool:
        """Whether something with this condition exists."""
        if condition is None:
            return True
        if condition not in self.conditions:
            self.conditions[condition] = bool(
                self.evaluate(self.template["Conditions"][condition])
            )
        return self.conditions[condition]

    def evaluate(self, value: object) -> object:
        """The value, as far as it is known."""
        if isinstance(value, list):
            return [each for each in map(self.evaluate, value) if each != NO_VALUE]
        if not isinstance(value, dict):
            return value
        match list(value.items()):
            case [("Fn::If", [condition, yes, no])]:
                return self.evaluate(yes if self.holds(condition) else no)
            case [("Fn::Equals", [one, other])]:
                return str(self.evaluate(one)) == str(self.evaluate(other))
            case [("Fn::Not", [condition])]:
                return not self.evaluate(condition)
            case [("Fn::FindInMap", [mapping, first, second])]:
                keys = self.evaluate(first), self.evaluate(second)
                return self.template["Mappings"][mapping][keys[0]][keys[1]]
            case [("Ref", name)] if name in self.values:
                return self.values[name]
            case [("Fn::Join", ["", parts])] if parts in ([], {"Ref": "VpcSubnetIds"}):
                return self.values.get("VpcSubnetIds", "")
        return {
            name: known
            for name, each in value.items()
            if (known := self.evaluate(each)) != NO_VALUE
        }

    def of_type(self, type_: str) -> Iterator[tuple[str, dict]]:
        """The names and properties of all resources of a type."""
        for name, resource in self.resources.items():
            if resource["Type"] == type_:
                yield name, resource.get("Properties", {})

    def role_of(self, function: str) -> dict:
        """The properties of the role that a function has, alone or with others."""
        role, _ = self.resources[function]["Properties"]["Role"]["Fn::GetAtt"]
        return self.resources[role]["Properties"]
