"""Puts PostgreSQL's programs for this machine into a folder: exactly those in programs.lock.

    python programs.py FOLDER

They come from Maven Central, because the packages for Python are all built without TLS.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE / "programs.lock"

sys.path.insert(0, str(HERE.parent / "kafka"))
import jars  # noqa: E402


def locked() -> jars.Jar:
    """The archive for this machine."""
    here = f"{platform.system()}-{platform.machine()}".lower()
    for line in LOCK.read_text().splitlines():
        name, _, rest = line.partition(" ")
        if name == here:
            coordinate, checksum = rest.split(" sha256:")
            return jars.Jar(*coordinate.split(":"), checksum)
    raise SystemExit(f"there is no PostgreSQL for {here}: set DATABASE_URL to a server of your own")


def main(folder: Path) -> None:
    """Fetch, verify and unpack, elsewhere first, so that half of it never counts."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        fresh = Path(temporary, "programs")
        fresh.mkdir()
        jar = locked()
        jars.fetch(jar, Path(temporary))
        with zipfile.ZipFile(Path(temporary, jar.file_name)) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".txz"))
            with archive.open(name) as content, tarfile.open(fileobj=content, mode="r|xz") as files:
                files.extraction_filter = getattr(tarfile, "data_filter", None)
                files.extractall(fresh)
        # Another user runs them if this is root.
        fresh.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
