"""Ends the functions' processes if LocalStack dies without a chance to do so itself.

Runs as a separate script. It reads `+<process group>` and `-<process group>` from its standard
input, which only LocalStack holds open: its end means that LocalStack is gone, for whatever reason,
and the remaining groups are killed. This works on every Unix and, unlike a parent-death signal,
also covers processes that a function has started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def watch(lines: Iterable[str]) -> None:
    """Track the process groups until the input ends, then kill the remaining ones."""
    groups: set[int] = set()
    for line in lines:
        change, group = line[0], int(line[1:])
        if change == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    watch(sys.stdin)
