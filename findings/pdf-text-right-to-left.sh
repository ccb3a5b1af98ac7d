#!/usr/bin/env bash
# pypdfium2 5.15.2 (PyPI; pdfium, which Chrome shows PDFs with): Arabic and Hebrew text of a PDF is
# read in the wrong order where the PDF says what it is.
#
# Expected: ActualText is what a part of a page says, as it is read (ISO 32000-1, 14.9.4), and ToUnicode
# has the letters of a ligature in the order in which they are read (9.10.3). So whoever copies the text,
# searches in it or has it read aloud gets these letters in this order, as happens with Latin text.
#
# Seen: pdfium takes both for letters as they are seen, and turns them around. Hebrew with an ActualText
# is read from its end, and correctly without; the Arabic ligature of lam and alef is read alef, lam.
# Poppler 22.12 does the same.
#
# For us: shared/documents writes no ActualText, which veraPDF does not miss. Names with lam-alef are
# seen as they should be, but copied with these two letters swapped.
#
# Output (2026-11-30, Linux x86-64, Python 3.11):
#   Hebrew                    שלום
#   Hebrew with ActualText    םולש
#   Latin with ActualText     shalom
#   Arabic, letter by letter  سلام
#   Arabic with a ligature    سالم
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check pypdfium2==5.15.2

cat > "$folder/read.py" <<'PYTHON'
import pypdfium2


def pdf(meanings, shown, actual_text):
    """A page that shows these codes, of which each means one or more letters."""
    entries = [f"<{ord(code):02x}> <{text.encode('utf-16-be').hex()}>" for code, text in meanings.items()]
    to_unicode = "\n".join([
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def",
        "1 begincodespacerange <00> <ff> endcodespacerange",
        f"{len(entries)} beginbfchar", *entries, "endbfchar", "endcmap end end",
    ])
    content = f"BT /F 12 Tf 100 50 Td ({shown}) Tj ET"
    if actual_text:
        content = f"/Span <</ActualText <FEFF{actual_text.encode('utf-16-be').hex()}>>> BDC\n{content}\nEMC"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 100]/Contents 6 0 R/Resources<</Font<</F 4 0 R>>>>>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 5 0 R>>",
        *(f"<</Length {len(stream)}>>stream\n{stream}\nendstream" for stream in (to_unicode, content)),
    ]
    file, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(file))
        file += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    return file + (
        f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n{table}"
        f"trailer<</Size {len(places) + 1}/Root 1 0 R>>\nstartxref\n{len(file)}\n%%EOF"
    ).encode()


def read(label, letters, direction, actual_text=None):
    """Shows letters (or ligatures) as they are seen, from left to right."""
    meanings = {chr(ord("a") + index): text for index, text in enumerate(letters)}
    shown = "".join(meanings)[::direction]
    page = pypdfium2.PdfDocument(pdf(meanings, shown, actual_text))[0]
    print(f"{label:<25} {page.get_textpage().get_text_range()}")


read("Hebrew", "שלום", -1)
read("Hebrew with ActualText", "שלום", -1, "שלום")
read("Latin with ActualText", "shalom", 1, "shalom")
read("Arabic, letter by letter", "سلام", -1)
read("Arabic with a ligature", ["س", "لا", "م"], -1)
PYTHON
PYTHONIOENCODING=utf-8 "$folder/python/bin/python" "$folder/read.py" | tee "$folder/seen"

diff "$folder/seen" - <<'EXPECTED' && echo "as stated"
Hebrew                    שלום
Hebrew with ActualText    םולש
Latin with ActualText     shalom
Arabic, letter by letter  سلام
Arabic with a ligature    سالم
EXPECTED
