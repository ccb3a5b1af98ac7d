"""Measures how long a newcomer waits: the first `make up`, from a fresh clone and with empty
caches.

    python3 localstack/first-run.py [REVISION …]

Each revision (HEAD by default) is cloned into a temporary folder and brought up with an empty home
folder, including cargo's registry, on free ports; then its stack is stopped and everything is
removed. Of the machine, only Rust, Python, Java and npm are used, if they are on the path, as for
any user. Processor times are those of the programs that were run; the elapsed time is meaningful
only if nothing else is running.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    """Measure one revision after another."""
    for revision in sys.argv[1:] or ["HEAD"]:
        with tempfile.TemporaryDirectory(prefix="first-run-") as folder:
            measure(revision, Path(folder))


def measure(revision: str, folder: Path) -> None:
    """Bring the revision up in the folder, and report what that took."""
    clone, home = folder / "clone", folder / "home"
    home.mkdir()
    git("clone", "--quiet", str(REPOSITORY), str(clone))
    git("-C", str(clone), "checkout", "--quiet", git("rev-parse", revision))
    settings = newcomer(home)

    begin, before = time.monotonic(), finished_seconds()
    subprocess.run(["make", "up"], cwd=clone, env=settings, check=True)
    wall, finished = time.monotonic() - begin, finished_seconds() - before
    try:
        subject = git("-C", str(clone), "log", "-1", "--format=%h %s")
        print(f"\n## {subject}\n")
        report_steps(clone, wall, finished)
        report_memory(clone)
        report_disk(clone, home)
        begin = time.monotonic()
        again = {"cwd": clone, "env": settings, "stdout": subprocess.DEVNULL}
        subprocess.run(["make", "up"], check=True, **again)
        print(f"\n`make up` again, with nothing changed: {time.monotonic() - begin:.1f} s")
    finally:
        subprocess.run(["make", "clean"], cwd=clone, env=settings, check=False)


def git(*arguments: str) -> str:
    """Run git in the repository."""
    command = ["git", "-C", str(REPOSITORY), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def newcomer(home: Path) -> dict[str, str]:
    """The environment of a user who has installed Rust, but nothing of this project yet."""
    own = ("STACK_", "CARGO_", "XDG_", "UV_", "DATABASE_URL", "KAFKA_", "LOCALSTACK_", "MAKE")
    settings = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    rustup = os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))
    return {**settings, "HOME": str(home), "RUSTUP_HOME": rustup, "STACK_PORTS": "auto"}


def finished_seconds() -> float:
    """Processor time of all programs that have ended, including their child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def running_seconds(pid: int) -> float:
    """Processor time of a running program and its ended child processes: proc(5)."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return sum(map(int, numbers[11:15])) / os.sysconf("SC_CLK_TCK")


def services(clone: Path) -> dict[str, list[int]]:
    """The running services, each with its child processes."""
    pids = json.loads((clone / ".local/stack.json").read_text())["pids"]
    return {name: family(pid) for name, pid in pids.items()}


def report_steps(clone: Path, wall: float, finished: float) -> None:
    """The table of steps, which earlier revisions do not record."""
    print("| step | wall s | processor s |\n|---|---|---|")
    path = clone / ".local/steps.json"
    steps = json.loads(path.read_text()) if path.exists() else []
    for step in sorted(steps, key=lambda step: -step["wall"]):
        print(f"| {step['title']} | {step['wall']:.1f} | {step['processor']:.1f} |")
    rest = finished - sum(step["processor"] for step in steps)
    print(f"| the orchestrator: compiling and running it | | {rest:.1f} |")
    for name, pids in services(clone).items():
        used = sum(map(running_seconds, pids))
        print(f"| {name}, running | | {used:.1f} |")
        finished += used
    print(f"| **everything, concurrently** | **{wall:.0f}** | **{finished:.0f}** |")


def report_memory(clone: Path) -> None:
    """Memory of each service; LocalStack includes the functions."""
    print("\n| service | memory MB |\n|---|---|")
    for name, pids in services(clone).items():
        print(f"| {name} | {sum(map(resident_megabytes, pids)):.0f} |")


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [pid, *(each for child in children for each in family(child))]


def resident_megabytes(pid: int) -> float:
    """The process's proportional share: shared memory counts once."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def report_disk(clone: Path, home: Path) -> None:
    """The disk space of each part."""
    cache = home / ".cache/patient-management"
    parts = {
        "cargo's registry": home / ".cargo",
        "compiled": clone / "target",
        "the stack's data and logs": clone / ".local",
        **{f"cache: {part.relative_to(cache)}": part for part in parts_of(cache)},
    }
    print("\n| on the disk | MB |\n|---|---|")
    # In one call, which counts hard-linked files once.
    existing = {name: path for name, path in parts.items() if path.exists()}
    command = ["du", "-sm", "--total", *map(str, existing.values())]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    for name, line in zip([*existing, "**everything**"], lines, strict=True):
        size = int(line.split()[0])
        if size:
            print(f"| {name} | {size} |")


def parts_of(cache: Path) -> list[Path]:
    """What is installed, each environment separately."""
    parts = [*cache.glob("*"), *cache.glob("python/*")]
    return sorted(part for part in parts if part.name != "python")


if __name__ == "__main__":
    main()
