#!/usr/bin/env bash
# What building the functions for AWS costs, with link-time optimisation and without: the processor
# time of what they have in common, of each function beyond that, and the size of the results.
# `make build-cost`; it takes an hour of processor time and 5 GB of disk, which are free again after.
set -euo pipefail
cd "$(dirname "$0")/../.."
functions=(get-own-account get-patient create-patient login refresh list-notifications count-patient-events)
target=$(mktemp -d "${TMPDIR:-/tmp}/build-cost.XXXXXX")
trap 'rm -rf "$target"' EXIT
export SQLX_OFFLINE=true CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$target

# Builds these functions, and prints the processor time that it took in seconds.
build() {
  local before after
  before=$(times | awk 'NR == 2 { print $1, $2 }')
  cargo build --quiet --release $(printf -- '--bin %s ' "$@")
  after=$(times | awk 'NR == 2 { print $1, $2 }')
  printf '%s %s\n' "$before" "$after" | sed 's/[ms]/ /g' |
    awk '{ printf "%.0f", ($5 * 60 + $6 + $7 * 60 + $8) - ($1 * 60 + $2 + $3 * 60 + $4) }'
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
