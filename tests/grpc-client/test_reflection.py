"""The billing service as any gRPC client sees it: Python's grpcio, which has no other contract than
what the service tells of itself (reflection).
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

DEADLINE = 5

SERVICES = {
    "billing.v1.BillingService",
    "billing.v1.ChargeService",
    "billing.v1.InvoiceService",
    "billing.v1.PaymentService",
    "billing.v1.PriceService",
    "billing.v1.RefundService",
    "billing.v1.ReportService",
    "grpc.health.v1.Health",
}


@pytest.fixture(scope="session")
def stack() -> dict[str, Any]:
    """What describes the running stack."""
    return json.loads(Path(os.environ["STACK_FILE"]).read_text())


@pytest.fixture(scope="session")
def channel(stack: dict[str, Any]) -> Iterator[grpc.Channel]:
    """A connection to the service, without its token."""
    address = stack["billingUrl"].removeprefix("http://")
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture(scope="session")
def contract(channel: grpc.Channel) -> ProtoReflectionDescriptorDatabase:
    """What the service says of itself."""
    return ProtoReflectionDescriptorDatabase(channel)


class Service:
    """A service, known by reflection alone."""

    def __init__(
        self,
        channel: grpc.Channel,
        contract: ProtoReflectionDescriptorDatabase,
        name: str,
        token: str,
    ) -> None:
        """The service of this name, for a caller with this token."""
        self.channel = channel
        self.service = DescriptorPool(contract).FindServiceByName(name)
        self.metadata = [("authorization", f"Bearer {token}")]

    def call(
        self, name: str, *, on_behalf_of: str = "", **fields: Any
    ) -> tuple[Message, grpc.Call]:
        """Call a method, and return its answer and what came with it."""
        method = self.service.FindMethodByName(name)
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        callee: Callable[..., Any] = self.channel.unary_unary(
            f"/{self.service.full_name}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        somebody = [("x-actor-id", on_behalf_of), ("x-actor-role", "ADMIN")]
        metadata = self.metadata + (somebody if on_behalf_of else [])
        return callee.with_call(request(**fields), timeout=DEADLINE, metadata=metadata)


@pytest.fixture
def prices(
    stack: dict[str, Any],
    channel: grpc.Channel,
    contract: ProtoReflectionDescriptorDatabase,
) -> Service:
    """Prices, for a caller with the token."""
    return Service(channel, contract, "billing.v1.PriceService", stack["billingToken"])


def price(code: str) -> dict[str, Any]:
    """The fields of a price."""
    return {
        "code": code,
        "description": "Consultation",
        "amount": {"currency_code": "EUR", "minor_units": 6500},
        "tax_rate_ppm": 190_000,
        "valid_from": "2026-01-01",
    }


def test_it_tells_of_all_its_services(contract: ProtoReflectionDescriptorDatabase) -> None:
    """Reflection needs no token."""
    assert set(contract.get_services()) >= SERVICES


def test_a_price_is_set_once_and_read(prices: Service) -> None:
    """A change, the same once more, and a question."""
    code, somebody, request_id = uuid.uuid4().hex, str(uuid.uuid4()), str(uuid.uuid4())
    wanted = price(code)

    answer, _ = prices.call("SetPrice", on_behalf_of=somebody, request_id=request_id, **wanted)
    again, call = prices.call("SetPrice", on_behalf_of=somebody, request_id=request_id, **wanted)
    assert again == answer
    assert ("x-replayed", "true") in call.initial_metadata()

    listed, _ = prices.call("ListPrices", code=code)
    assert [found.price_id for found in listed.prices] == [answer.price.price_id]
    assert listed.prices[0].amount.minor_units == 6500


def test_it_says_what_is_wrong_with_each_field(prices: Service) -> None:
    """The details of an error are those of google.rpc."""
    wrong = price("not a code") | {"valid_from": "tomorrow"}
    with pytest.raises(grpc.RpcError) as refused:
        prices.call(
            "SetPrice", on_behalf_of=str(uuid.uuid4()), request_id=str(uuid.uuid4()), **wrong
        )
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    status = rpc_status.from_call(refused.value)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert any(detail.Unpack(info) for detail in status.details)
    assert any(detail.Unpack(bad) for detail in status.details)
    assert (info.domain, info.reason) == ("billing", "INVALID_INPUT")
    assert {violation.field for violation in bad.field_violations} == {"code", "validFrom"}
    assert all(violation.description for violation in bad.field_violations)


def test_it_demands_its_token(
    channel: grpc.Channel, contract: ProtoReflectionDescriptorDatabase
) -> None:
    """Whoever has another one may not even look."""
    stranger = Service(channel, contract, "billing.v1.PriceService", "not the token of the service")
    with pytest.raises(grpc.RpcError) as refused:
        stranger.call("ListPrices")
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
