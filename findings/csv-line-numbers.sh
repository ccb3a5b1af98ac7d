#!/usr/bin/env bash
# csv 1.4.0 (crates.io): the line on which a record begins is right only where lines end with a line
# feed alone.
#
# Expected: `ByteRecord::position` says where a record begins ("the line number", counted from 1), so
# that an error can name the line that an editor shows. CRLF is what RFC 4180 asks for, and the crate
# takes CRLF, LF and CR for line ends alike.
#
# Seen: with CRLF, every record but the first is said to begin on the line before its own: the reader
# stops between the two characters, and counts the line feed as a part of the next record. With CR
# alone, all records are said to be on line 1. The records themselves are read as they should be.
#
# For us: an import counts lines itself, from the bytes between two records
# (functions/patients/src/import/records.rs).
#
# Output (2026-11-30, Linux x86-64, Rust 1.95):
#   LF: a on line 1, c on line 2, e on line 3
#   CRLF: a on line 1, c on line 1, e on line 2
#   CR: a on line 1, c on line 1, e on line 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "csv-line-numbers"
version = "0.1.0"
edition = "2021"

[dependencies]
csv = "=1.4.0"
TOML
cat > "$folder/src/main.rs" <<'RUST'
use csv::{ByteRecord, ReaderBuilder};

fn main() {
    let files = [
        ("LF", "a,b\nc,d\ne,f\n"),
        ("CRLF", "a,b\r\nc,d\r\ne,f\r\n"),
        ("CR", "a,b\rc,d\re,f\r"),
    ];
    for (line_end, file) in files {
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(file.as_bytes());
        let mut record = ByteRecord::new();
        let mut said = Vec::new();
        while reader.read_byte_record(&mut record).expect("a valid table") {
            let line = record.position().expect("the position of a record that was read").line();
            said.push(format!("{} on line {line}", String::from_utf8_lossy(&record[0])));
        }
        println!("{line_end}: {}", said.join(", "));
    }
}
RUST

seen=$(cd "$folder" && cargo run --quiet)
printf '%s\n' "$seen"
diff <(printf '%s\n' "$seen") - <<'EXPECTED'
LF: a on line 1, c on line 2, e on line 3
CRLF: a on line 1, c on line 1, e on line 2
CR: a on line 1, c on line 1, e on line 1
EXPECTED
