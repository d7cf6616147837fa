#!/usr/bin/env bash
# The torture: real servers, a real database, faults, and checkers that look for a lost or doubled point.
#
#   scripts/torture.sh --minutes 30 --seed 7 --store postgres --replicas 3 --out docs/proof/torture-postgres
#   scripts/torture.sh --minutes 30 --seed 7 --store sqlite --out docs/proof/torture-sqlite
#   scripts/torture.sh --help                # all options
#
# Builds what it needs: the harness and the binary under torture in one profile, release unless --debug is the first
# argument. As root on Debian it installs faketime if that is missing, for the fault of the wall clock.
# docs/proof/torture.md says what is done and what is checked. Exit code 0: nothing was found; 1: violations; 2: it is
# not known, or it could not run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=(--release)
if [ "${1:-}" = --debug ]; then
    profile=()
    shift
fi

if ! command -v faketime >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends faketime; } \
        </dev/null >/dev/null 2>&1 || echo "faketime could not be installed: no wall clock will be stepped" >&2
fi

# The message of the build names the harness, whatever its hash is.
built=$(cargo build --locked "${profile[@]}" --bench torture --message-format=json-render-diagnostics) || exit 2
harness=$(printf '%s\n' "$built" | sed -n 's/.*"name":"torture".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
if [ ! -x "$harness" ]; then
    echo "the build names no harness" >&2
    exit 2
fi
# Its process takes the signals itself.
exec "$harness" "$@"
