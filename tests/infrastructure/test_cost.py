"""What the system costs is computed from what it consists of."""

from __future__ import annotations

import copy

import cost
import pytest
from stacks import SIZES


def test_the_document_says_what_is_computed() -> None:
    """`make cost ARGS=--write` writes it."""
    assert f"{cost.BEGIN}\n{cost.tables()}\n{cost.END}" in cost.DOCUMENT.read_text()


@pytest.mark.parametrize("size", SIZES)
def test_a_resource_without_a_price_is_noticed(size: str) -> None:
    """Whatever is added to a template has to be added to the prices."""
    templates = copy.deepcopy(cost.read_all())
    templates["network"]["Resources"]["Firewall"] = {"Type": "AWS::NetworkFirewall::Firewall"}
    with pytest.raises(cost.UnknownCost, match="Firewall"):
        list(cost.Costs(size, templates))


def test_a_larger_broker_without_a_price_is_noticed() -> None:
    """Not only types have prices."""
    templates = copy.deepcopy(cost.read_all())
    templates["data"]["Mappings"]["Sizes"]["hospital"]["BrokerType"] = "kafka.m7g.24xlarge"
    with pytest.raises(cost.UnknownCost, match=r"m7g\.24xlarge"):
        list(cost.Costs("hospital", templates))


@pytest.mark.parametrize("name", cost.PRICES["prices"])
def test_every_price_is_needed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is missing is an error, and none is there for nothing."""
    prices = copy.deepcopy(cost.PRICES)
    del prices["prices"][name]
    monkeypatch.setattr(cost, "PRICES", prices)
    with pytest.raises((cost.UnknownCost, KeyError)):
        cost.tables()


def test_every_free_type_is_used() -> None:
    """Otherwise nobody would notice that it has a price after all."""
    types = {
        resource["Type"]
        for size in SIZES
        for stack in cost.Costs(size).stacks.values()
        for resource in stack.resources.values()
    }
    free = set(cost.PRICES["free, or paid by use"])
    assert free <= types


def test_mappings_that_share_pollers_share_their_price() -> None:
    """Each would cost as much as all of them."""
    together = cost.Costs("economy").by_part()["event pollers"]
    templates = copy.deepcopy(cost.read_all())
    mappings = [
        resource["Properties"]
        for resource in templates["application"]["Resources"].values()
        if "AmazonManagedKafkaEventSourceConfig" in resource.get("Properties", {})
    ]
    for mapping in mappings:
        mapping["ProvisionedPollerConfig"] = {"MinimumPollers": 1, "MaximumPollers": 2}
    apart = cost.Costs("economy", templates).by_part()["event pollers"]
    assert apart == pytest.approx(len(mappings) * together)
