#!/usr/bin/env bash
# Measures scrip beside what it is compared with, in one run on this machine: `scripts/bench.sh --help` says how.
#
# Builds both in release, and starts and removes everything else itself. Needs Rust, a C compiler and PostgreSQL with
# pgbench (Debian: postgresql, postgresql-contrib). Use an otherwise idle machine: the figures are ratios, but a busy
# machine is not busy evenly.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case ${CARGO_TARGET_DIR:=$root/target} in
/*) ;;
*) CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;;
esac
export CARGO_TARGET_DIR

features=()
case " $* " in
*' --peers '*) features=(--features peers) ;;
esac
cargo build --release --locked --manifest-path "$root/benches/peers/Cargo.toml" "${features[@]}"
case " $* " in
*' --help '* | *' -h '*) ;;
*) cargo build --release --locked --manifest-path "$root/Cargo.toml" ;;
esac
exec "$CARGO_TARGET_DIR/release/scrip-peers" "$@"
