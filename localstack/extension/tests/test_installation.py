"""The extension is found by LocalStack."""

from stack import LocalStack


def test_localstack_starts_with_the_extension(localstack: LocalStack) -> None:
    """The shared LocalStack responds, and did not fall back to any of its defaults."""
    assert localstack.client("sts").get_caller_identity()["Account"] == "000000000000"
    assert "Falling back" not in localstack.log
