#!/usr/bin/env bash
# What building the functions for AWS costs, with link-time optimisation and without: the processor
# time of what they have in common, of each function beyond that, and the size of the results.
# `make build-cost`; it takes an hour of processor time and 5 GB of disk, which are free again after.
set -euo pipefail
cd "$(dirname "$0")/../.."
functions=(get-own-account get-patient create-patient login refresh list-notifications count-patient-events)
target=$(mktemp -d "${TMPDIR:-/tmp}/build-cost.XXXXXX")
trap 'rm -rf "$target" "$target.log"' EXIT
export SQLX_OFFLINE=true CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$target

# Builds these functions, and prints the processor time that it took in seconds.
build() {
  local TIMEFORMAT='%U %S' arguments=() spent
  for name in "$@"; do arguments+=(--bin "$name"); done
  spent=$({ time cargo build --quiet --release "${arguments[@]}" > "$target.log" 2>&1; } 2>&1) ||
    { cat "$target.log" >&2; return 1; }
  awk '{ printf "%.0f", $1 + $2 }' <<< "$spent"
}

for lto in off thin; do
  export CARGO_PROFILE_RELEASE_LTO=$lto
  cargo clean --quiet 2> /dev/null || true
  printf 'lto = "%s"\n' "$lto"
  printf '  everything in common and %s: %s s\n' "${functions[0]}" "$(build "${functions[0]}")"
  printf '  %s more functions: %s s\n' "$((${#functions[@]} - 1))" "$(build "${functions[@]:1}")"
  for name in "${functions[@]}"; do
    printf '  %-24s %7d bytes zipped\n' "$name" "$(gzip -9 -c "$target/release/$name" | wc -c)"
  done
done
