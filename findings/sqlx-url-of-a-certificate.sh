#!/usr/bin/env bash
# sqlx 0.9.0 (crates.io): the URL that PgConnectOptions makes of itself does not lead to the server again
# if a file has the certificate of the authority.
#
# Expected: `to_url_lossy` may lose what a URL cannot say. It says where the root certificate is, so the
# options that are read from that URL are the same, as they are without a certificate.
#
# Seen: the path is written behind `file: `. Read again, this is a part of the path, and one more is put
# before it each time. A connection with verify-full then fails: there is no such file.
#
# For us: tests that hand a database's URL to another process take it from DATABASE_URL.
#
# Output (2026-11-30, Linux x86-64, Rust 1.95):
#   given: postgres://me@db.example:5432/clinic?sslmode=verify-full&sslrootcert=/etc/authority.pem
#   once:  sslmode=verify-full sslrootcert=file: /etc/authority.pem
#   twice: sslmode=verify-full sslrootcert=file: file: /etc/authority.pem
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "url-of-a-certificate"
version = "0.0.0"
edition = "2021"

[dependencies]
sqlx = { version = "=0.9.0", default-features = false, features = ["postgres"] }

[workspace]
TOML
cat > "$folder/src/main.rs" <<'RUST'
use sqlx::{postgres::PgConnectOptions, ConnectOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = "postgres://me@db.example:5432/clinic?sslmode=verify-full&sslrootcert=/etc/authority.pem";
    println!("given: {given}");
    let mut url = given.to_owned();
    for label in ["once: ", "twice:"] {
        let made = url.parse::<PgConnectOptions>()?.to_url_lossy();
        let of_tls: Vec<String> = made
            .query_pairs()
            .filter(|(name, _)| name.starts_with("ssl"))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        println!("{label} {}", of_tls.join(" "));
        url = made.into();
    }
    Ok(())
}
RUST
cargo run --quiet --manifest-path "$folder/Cargo.toml" | tee "$folder/seen"

diff "$folder/seen" - <<'EXPECTED' && echo "as stated"
given: postgres://me@db.example:5432/clinic?sslmode=verify-full&sslrootcert=/etc/authority.pem
once:  sslmode=verify-full sslrootcert=file: /etc/authority.pem
twice: sslmode=verify-full sslrootcert=file: file: /etc/authority.pem
EXPECTED
