"""The log of one environment: kept per invocation for CloudWatch, appended to a file for people."""

from __future__ import annotations

import logging
import os
from pathlib import Path

LOG = logging.getLogger(__name__)

KEPT_BYTES = 4 * 1024 * 1024
"""How much of one invocation's log goes to CloudWatch; the file gets all of it."""


class FunctionLog:
    """Collects the output of a function's processes and the platform's lines."""

    def __init__(self, file: Path | None) -> None:
        """Append to `file`, which the function's other environments may share."""
        self._kept = bytearray()
        self._unfinished_line = b""
        self._descriptor = self._open(file)

    @staticmethod
    def _open(file: Path | None) -> int | None:
        if file is None:
            return None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            LOG.warning("The functions' output cannot be written to %s: %s", file, error)
            return None

    def write(self, output: bytes) -> None:
        """Add a piece of the process's output."""
        if (space := KEPT_BYTES - len(self._kept)) > 0:
            self._kept += output[:space]
        # Only whole lines go to the file: environments that share it must not mix their lines.
        lines, newline, self._unfinished_line = (self._unfinished_line + output).rpartition(b"\n")
        self._append(lines + newline)

    def line(self, text: str) -> None:
        """Add a line of the platform, on a line of its own whatever was printed before."""
        entry = text.encode() + b"\n"
        self._kept += b"\n" + entry if self._unfinished_line else entry
        self._append(self._finished_line() + entry)

    def take(self) -> str:
        """Return what was collected since the last call."""
        taken, self._kept = self._kept, bytearray()
        return taken.decode(errors="replace")

    def take_lines(self) -> str:
        """Return what was collected, but keep an unfinished line, because more will follow."""
        lines, newline, unfinished = self._kept.rpartition(b"\n")
        self._kept = unfinished
        return (lines + newline).decode(errors="replace")

    def close(self) -> None:
        """Write what is left and close the file."""
        self._append(self._finished_line())
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _finished_line(self) -> bytes:
        line, self._unfinished_line = self._unfinished_line, b""
        return line + b"\n" if line else b""

    def _append(self, entry: bytes) -> None:
        if self._descriptor is None or not entry:
            return
        try:
            os.write(self._descriptor, entry)
        except OSError as error:
            # A full disk must not fail the function: warn once, then continue without the file.
            LOG.warning("The function's log file cannot be written: %s", error)
            os.close(self._descriptor)
            self._descriptor = None
