"""LocalStack's side of the guard: tells it which process groups are alive."""

from __future__ import annotations

import contextlib
import subprocess
import sys

from patient_stack.lambda_processes import guard


class Guardian:
    """Keeps one guard process running and up to date."""

    def __init__(self) -> None:
        """The guard starts with the first process group."""
        self._groups: set[int] = set()
        self._guard: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """A process group was started."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """A process group has ended; its id may be reused from now on."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def _tell(self, change: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            if self._guard is not None:
                self._guard.stdin.write(change.encode())
                return
        # There is no guard yet, or it was killed: a new one gets the whole list.
        self._guard = subprocess.Popen(
            [sys.executable, "-IS", guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            bufsize=0,
            # A Ctrl-C in LocalStack's terminal is for LocalStack; the guard must see its end.
            start_new_session=True,
        )
        self._guard.stdin.write("".join(f"+{group}\n" for group in self._groups).encode())
