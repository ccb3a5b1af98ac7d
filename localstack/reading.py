"""Writes a page that shows docs/openapi.json, for reading it before anything is deployed.

    python reading.py FOLDER

Swagger UI comes from the same crate as on the deployed page; cargo fetches it first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CRATE = "utoipa-swagger-ui-vendored"
ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css")

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Patient management API</title>
<link rel="stylesheet" href="swagger-ui.css">
<p style="font: 1rem sans-serif; margin: 1rem">
  This page is for reading. Once the stack is up, its own page, <code>/docs</code>, also calls the
  API.
</p>
<div id="api"></div>
<script src="swagger-ui-bundle.js"></script>
<script>
  SwaggerUIBundle({{ spec: {document}, dom_id: "#api", supportedSubmitMethods: [] }});
</script>
</html>
"""


def main() -> None:
    """Write the page and its assets, and print its address."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive()) as files:
        for name in files.namelist():
            if Path(name).name in ASSETS:
                (folder / Path(name).name).write_bytes(files.read(name))
    document = json.loads((REPOSITORY / "docs/openapi.json").read_text())
    # As a literal in a script: a closing tag inside a string would end the script.
    literal = json.dumps(document).replace("</", "<\\/")
    page = folder / "index.html"
    page.write_text(PAGE.format(document=literal))
    print(page.as_uri())


def archive() -> Path:
    """The crate's archive of Swagger UI in cargo's registry."""
    host = next(
        line.split()[1]
        for line in output("rustc", "-vV").splitlines()
        if line.startswith("host:")
    )
    command = ("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host)
    packages = json.loads(output(*command))["packages"]
    crate = next(package for package in packages if package["name"] == CRATE)
    return next(Path(crate["manifest_path"]).parent.glob("res/*.zip"))


def output(*command: str) -> str:
    """The output of a command."""
    return subprocess.run(
        command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


if __name__ == "__main__":
    main()
