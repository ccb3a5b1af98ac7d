"""What a deployment gets is built as what the tests run.

cargo-lambda, which SAM calls, decides what the release profile leaves open
(https://www.cargo-lambda.info/commands/build.html): it would optimise while linking, which takes
hours for all functions, and have a panic end the process.
"""

import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_release_profile_leaves_nothing_to_the_builder():
    """Otherwise cargo-lambda would decide."""
    profile = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["profile"]["release"]
    assert profile["lto"] == "off"
    assert profile["panic"] == "unwind"
    assert profile["codegen-units"] == 1
    assert profile["strip"] is True
