#!/usr/bin/env bash
# The long proofs, each far beyond what the gate (scripts/test.sh) has time for. Asks nothing. Ends with a table of what
# was shown, what was not and why; its last line is `N passed, N failed, N skipped`.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

help() {
    cat <<'END'
usage: scripts/proof.sh [OPTION…] [PROOF…]

Proofs; without a name, all of them, one after the other:
  mutants      plants each bug of src/mutants.rs in turn, and shows what catches it and after how long
  power-loss   cuts the power under SQLite at every sync: 3,600 images, all sound, nothing acknowledged lost
  backup       backs both databases up under load, restores, and verifies
  mutation     mutates src/ledger, src/keypool and src/audit with cargo-mutants; lists what no test notices
  torture      the real server and databases under faults: PostgreSQL with 3 replicas, then SQLite
  floods       the real server under floods of sockets, frames and charges, an honest client beside; writes
               docs/proof/floods.md
  fuzz         decoded requests, fal's JSON, page tokens and raw HTTP/2, each for ten minutes with libFuzzer
  telemetry    throughput with a collector that answers, one that is stopped, and none, in paired rounds

Options:
  --minutes N      of the torture, each store (30); of the torture for one planted bug (10); of mutation, a room (60);
                   of fuzz, a target (10)
  --seconds N      of floods, each (60); of telemetry, a turn (10)
  --seed N         of power-loss, torture and fuzz (1)
  --only NAME,…    of mutants: these bugs; of mutation: these rooms; of floods and fuzz: these
  --list           of mutants: prints the bugs' names and does nothing
  -h, --help       this

Examples:
  scripts/proof.sh                                         # everything: some five hours
  scripts/proof.sh power-loss backup                       # two of them: a few minutes
  scripts/proof.sh mutants --only f64-money,no-row-lock    # two bugs
  scripts/proof.sh mutation --only ledger --minutes 60     # one room, an hour
  scripts/proof.sh torture --minutes 30 --seed 7
  scripts/proof.sh floods --seconds 20 --only rapid-reset
  scripts/proof.sh fuzz --minutes 1 --only h2

SCRIP_BIN names another server for floods and telemetry than the one that they build.
END
}

proofs=()
minutes=
seconds=
seed=1
only=
list=
while [ $# -gt 0 ]; do
    case $1 in
    mutants | power-loss | backup | mutation | torture | floods | fuzz | telemetry) proofs+=("$1") ;;
    --minutes | --seconds | --seed | --only)
        [ $# -ge 2 ] || {
            echo "$1 needs a value" >&2
            exit 2
        }
        case $1 in
        --minutes) minutes=$2 ;;
        --seconds) seconds=$2 ;;
        --seed) seed=$2 ;;
        --only) only=,$2, ;;
        esac
        shift
        ;;
    --list) list=1 ;;
    -h | --help)
        help
        exit 0
        ;;
    *)
        printf 'unknown: %s\n\n' "$1" >&2
        help >&2
        exit 2
        ;;
    esac
    shift
done
for number in "$minutes" "$seconds" "$seed"; do
    case $number in
    *[!0-9]*)
        echo "$number is not a whole number" >&2
        exit 2
        ;;
    esac
done
[ ${#proofs[@]} -gt 0 ] || proofs=(mutants power-loss backup mutation torture floods fuzz telemetry)

cd "$root"
exec </dev/null
case ${CARGO_TARGET_DIR:=$root/target} in
/*) ;;
*) CARGO_TARGET_DIR=$root/$CARGO_TARGET_DIR ;;
esac
export CARGO_TARGET_DIR
tools=$CARGO_TARGET_DIR/tools
logs=$CARGO_TARGET_DIR/proof
mkdir -p "$tools" "$logs"
PATH=$tools/bin:$tools:$PATH

passed=0
failed=0
skipped=0
table=()

row() { # outcome, what, remark
    table+=("$(printf '%-8s %-34s %s' "$1" "$2" "$3")")
    case $1 in
    passed) passed=$((passed + 1)) ;;
    FAILED) failed=$((failed + 1)) ;;
    SKIPPED) skipped=$((skipped + 1)) ;;
    esac
}

wanted() { # name: whether --only leaves it in
    [ -z "$only" ] || [[ $only == *,$1,* ]]
}

# A test of cargo's, with its output kept in $logs/NAME.log; one that says that it did not run is no proof.
cargo_proof() { # name, what is shown, cargo's arguments…
    local name=$1 what=$2 log=$logs/$1.log
    shift 2
    printf '\n==> %s\n' "$name"
    SECONDS=0
    if ! cargo test "$@" -- --nocapture 2>&1 | tee "$log"; then
        row FAILED "$name" "${SECONDS} s: see $log"
    elif grep -q '^DID NOT RUN: ' "$log"; then
        row SKIPPED "$name" "$(grep -m 1 '^DID NOT RUN: ' "$log")"
    else
        row passed "$name" "${SECONDS} s: $what"
    fi
}

# --- mutants ---------------------------------------------------------------------------------------------------------

# As src/mutants.rs names them.
names() {
    sed -n '/^mutants! {/,/^}/s/^ *[A-Za-z]* = "\([a-z0-9-]*\)",$/\1/p' src/mutants.rs
}

# Bugs in how PostgreSQL is spoken to. In the simulation, whose store is a model, a stand-in is planted in its place
# (tests/simulation/bugs.rs); the torture meets the bug itself.
in_the_stores=" no-unique-task no-row-lock swallowed-error lease-outside-lock cancelled-transaction "

# Catches one bug: by the simulation, and where that finds nothing, or only a stand-in, by the torture.
catch() { # name, the simulation's program, the server with the bugs
    local name=$1 simulation=$2 server=$3 log=$logs/mutant-$1.log found
    SECONDS=0
    if ! SCRIP_MUTANT=$name timeout 600 "$simulation" no_seed >"$log" 2>&1; then
        found=$(sed -n 's/^seed \([0-9]*\): \(.*\)/\1 \2/;T;p;q' "$log")
        if [ -z "$found" ]; then
            row FAILED "$name" "the simulation ended without a verdict: see $log"
        else
            row passed "$name" "the simulation, seed ${found%% *}, ${SECONDS} s: $(cut -c 1-100 <<<"${found#* }")"
        fi
        [[ $in_the_stores == *" $name "* ]] || return 0
    fi
    torture_with "$name" "$server"
}

# The torture with one bug planted: of a minute, then of more, ten in all.
torture_with() { # name, the server with the bugs
    local name=$1 server=$2 log=$logs/mutant-$1.log ended=0 once found
    if [ ! -x scripts/torture.sh ]; then
        row SKIPPED "$name, in PostgreSQL" "there is no scripts/torture.sh yet"
        return
    fi
    # It starts its servers without the caller's own SCRIP_ variables: this one has it from here.
    printf '#!/bin/sh\nSCRIP_MUTANT=%s exec "%s" "$@"\n' "$name" "$server" >"$logs/scrip-$name"
    chmod +x "$logs/scrip-$name"
    SECONDS=0
    for once in ${minutes:-1 3 6}; do
        ended=0
        scripts/torture.sh --debug --minutes "$once" --seed "$seed" --store postgres --replicas 3 \
            --scrip "$logs/scrip-$name" >>"$log" 2>&1 || ended=$?
        # 1 is what it ends with where it found something; 2 says that it does not know.
        if [ "$ended" = 1 ]; then
            found=$(sed -n 's/^  - `\(.*\)`$/\1/;T;p;q' "$log" | cut -c 1-100)
            row passed "$name, in PostgreSQL" "the torture, ${SECONDS} s: $found"
            return
        fi
    done
    row FAILED "$name, in PostgreSQL" "the torture ended with $ended after ${SECONDS} s, and found nothing: see $log"
}

# Where the bugs are built: nothing of it can be mistaken for a build without them.
mutants() {
    local simulation server=$CARGO_TARGET_DIR/mutants/debug/scrip name
    printf '\n==> mutants: one build, the bug chosen at run time\n'
    if ! simulation=$(cargo test --features mutants --test simulation --no-run \
        --target-dir "$CARGO_TARGET_DIR/mutants" 2>&1 | tee /dev/stderr |
        sed -n 's/.*Executable tests\/simulation\/main.rs (\(.*\))/\1/p') || [ ! -x "$simulation" ]; then
        row FAILED "mutants" "they do not build"
        return
    fi
    # Without a bug there is nothing to catch: a checker that always cries proves nothing.
    if SIM_SEEDS=500 "$simulation" no_seed >"$logs/mutant-none.log" 2>&1; then
        row passed "no bug" "500 seeds of the same build: nothing found"
    else
        row FAILED "no bug" "the same build without a bug is found wrong: see $logs/mutant-none.log"
    fi
    while read -r name; do
        if wanted "$name"; then
            printf '%s…\n' "$name"
            catch "$name" "$simulation" "$server" </dev/null
        fi
    done < <(names)
}

# --- mutation --------------------------------------------------------------------------------------------------------

# A package of one room and what it rests on, with the room's tests, all of it within one folder: cargo-mutants copies
# a package to change it, and tests/pure includes its sources from elsewhere.
pure_package() { # room, directory
    local room=$1 at=$2 rooms
    case $room in
    keypool) rooms="ledger keypool" ;;
    *) rooms=$room ;;
    esac
    rm -rf "$at"
    mkdir -p "$at/src" "$at/tests"
    cp tests/pure/Cargo.toml tests/pure/Cargo.lock "$at/"
    cp -r tests/support "$at/tests/"
    {
        echo '//! A room to be mutated.'
        for room in $rooms; do
            echo "#[allow(missing_docs)] pub mod $room;"
            cp -r "src/$room" "$at/src/"
        done
    } >"$at/src/lib.rs"
    if [ "$1" = ledger ]; then
        cp -r tests/pure/tests/histories "$at/tests/"
        sed -i 's#\.\./\.\./\.\./support/#../support/#' "$at/tests/histories/main.rs"
    fi
}

# What has been caught in an earlier hour is not tried again: remove the output where the sources have changed since.
mutation_of() { # room
    local room=$1 at=$CARGO_TARGET_DIR/mutation/$1 out=$CARGO_TARGET_DIR/mutation/$1-out ended=0 missed
    printf '\n==> mutation of src/%s\n' "$room"
    pure_package "$room" "$at"
    mkdir -p "$out"
    SECONDS=0
    # In a target directory of its own, within the copy that is changed.
    (cd "$at" && unset CARGO_TARGET_DIR && nice -n 19 timeout $((60 * ${minutes:-60})) cargo mutants -j 1 --iterate \
        --baseline skip --timeout 120 --build-timeout 600 --cap-lints true --no-times --colors never \
        -f "src/$room/**" -o "$out") 2>&1 | tee "$logs/mutation-$room.log" || ended=$?
    missed=$(cat "$out"/mutants.out/missed.txt "$out"/mutants.out/timeout.txt | sort -u | wc -l)
    case $ended in
    0) row passed "mutation of $room" "${SECONDS} s: every mutant was noticed" ;;
    124) row SKIPPED "mutation of $room" "${SECONDS} s: not at its end; $missed survive so far, run it again to go on" ;;
    2 | 3) row FAILED "mutation of $room" "${SECONDS} s: $missed survive: see $out/mutants.out/missed.txt" ;;
    *) row FAILED "mutation of $room" "cargo-mutants ended with $ended: see $logs/mutation-$room.log" ;;
    esac
}

mutation() {
    local room
    if ! cargo mutants --version >/dev/null 2>&1; then
        printf '\n==> install cargo-mutants\n'
        if ! cargo install cargo-mutants --locked --root "$tools"; then
            row SKIPPED "mutation" "cargo-mutants could not be installed"
            return
        fi
    fi
    for room in ledger keypool audit; do
        if wanted "$room"; then mutation_of "$room"; fi
    done
}

# --- torture ---------------------------------------------------------------------------------------------------------

torture() {
    local store replicas
    if [ ! -x scripts/torture.sh ]; then
        row SKIPPED "torture" "there is no scripts/torture.sh yet"
        return
    fi
    for store in postgres sqlite; do
        replicas=$([ "$store" = postgres ] && echo 3 || echo 1)
        printf '\n==> torture of %s\n' "$store"
        SECONDS=0
        if scripts/torture.sh --minutes "${minutes:-30}" --seed "$seed" --store "$store" --replicas "$replicas" 2>&1 |
            tee "$logs/torture-$store.log"; then
            row passed "torture of $store" "${SECONDS} s, $replicas replicas"
        else
            row FAILED "torture of $store" "${SECONDS} s: see $logs/torture-$store.log"
        fi
    done
}

# --- floods and telemetry --------------------------------------------------------------------------------------------

# The harness of both: it floods a server, or measures what a stopped collector costs.
flood() { # name, what is shown, arguments…
    local name=$1 what=$2 built harness ended=0
    shift 2
    printf '\n==> %s\n' "$name"
    built=$(cargo build --locked --release --bench floods --message-format=json-render-diagnostics) || {
        row FAILED "$name" "the harness does not build"
        return
    }
    harness=$(printf '%s\n' "$built" | sed -n 's/.*"name":"floods".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    SECONDS=0
    "$harness" "$@" --keep "$logs/$name" 2>&1 | tee "$logs/$name.log" || ended=$?
    case $ended in
    0) row passed "$name" "${SECONDS} s: $what" ;;
    1) row FAILED "$name" "${SECONDS} s: something did not hold, see $logs/$name.log" ;;
    *) row FAILED "$name" "could not run: see $logs/$name.log" ;;
    esac
}

floods() {
    local arguments=(--seconds "${seconds:-60}" --out docs/proof/floods.md)
    [ -z "$only" ] || arguments+=(--only "$(tr -s , , <<<"$only" | sed 's/^,//; s/,$//')")
    flood floods "no honest call failed, memory and p99 within their bounds" "${arguments[@]}"
}

telemetry() {
    flood telemetry "a stopped collector costs nothing" --telemetry --seconds "${seconds:-10}"
}

# --- fuzz ------------------------------------------------------------------------------------------------------------

# One target for so long: what it finds new is kept beside the logs, and the seeds in the repository stay as they are.
fuzz_one() { # target
    local target=$1 log=$logs/fuzz-$1.log found=$logs/fuzz/$1 ended=0 figures
    mkdir -p "$found"
    SECONDS=0
    CARGO_TARGET_DIR=$CARGO_TARGET_DIR/fuzz cargo fuzz run -s none "$target" "$found" "fuzz/corpus/$target" -- \
        -max_total_time=$((60 * ${minutes:-10})) -max_len=4096 -timeout=20 -seed="$seed" -print_final_stats=1 \
        >"$log" 2>&1 || ended=$?
    figures=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    figures="${figures:-0} executions, $(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
    if [ "$ended" = 0 ]; then
        row passed "fuzz $target" "${SECONDS} s: $figures, nothing found"
    else
        row FAILED "fuzz $target" "${SECONDS} s: $figures; see the end of $log"
    fi
}

fuzz() {
    local target
    if ! cargo fuzz --version >/dev/null 2>&1; then
        printf '\n==> install cargo-fuzz\n'
        if ! cargo install cargo-fuzz --locked --root "$tools"; then
            row SKIPPED "fuzz" "cargo-fuzz could not be installed"
            return
        fi
    fi
    for target in decide fal_json page_token h2; do
        if wanted "$target"; then
            printf '\n==> fuzz %s\n' "$target"
            fuzz_one "$target"
        fi
    done
}

# --- all of them -----------------------------------------------------------------------------------------------------

if [ -n "$list" ]; then
    names
    exit 0
fi
for proof in "${proofs[@]}"; do
    case $proof in
    mutants) mutants ;;
    power-loss)
        POWER_LOSS_IMAGES=3600 POWER_LOSS_SEED=$seed cargo_proof power-loss \
            "every image sound, and nothing acknowledged lost" --test power_loss
        ;;
    backup) cargo_proof backup "what was restored verifies and has what was acknowledged" --test backup ;;
    mutation) mutation ;;
    torture) torture ;;
    floods) floods ;;
    fuzz) fuzz ;;
    telemetry) telemetry ;;
    esac
done

printf '\n==> summary\n'
printf '%s\n' "${table[@]}"
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
