#!/usr/bin/env bash
# The gate: runs every check and every test, and says at the end what ran, what did not and why.
#
# Needs Rust and a C compiler. As root on Debian it installs PostgreSQL (and Python's venv) when they are missing;
# further tools are used where they are, or fetched into the target directory. Asks nothing, from anywhere.
# Its last line is `N passed, N failed, N skipped`: cargo's tests, and one for each other step.
set -euo pipefail

# Versions of what is fetched; a new release elsewhere must not change what passes here.
grpcurl_version=v1.9.3
grpcio_version=1.76.0
buf_version=1.75.0
protoc_gen_go_version=v1.36.12
protoc_gen_go_grpc_version=v1.6.2
grpc_go_version=v1.85.0
grpc_js_version=1.14.7
proto_loader_version=0.8.1
tsx_version=4.23.15

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# Nothing here waits for an answer.
exec </dev/null
export DEBIAN_FRONTEND=noninteractive

# One directory for all packages, so that no dependency is built twice.
case ${CARGO_TARGET_DIR:=$root/target} in
/*) ;;
*) CARGO_TARGET_DIR=$root/$CARGO_TARGET_DIR ;;
esac
export CARGO_TARGET_DIR
tools=$CARGO_TARGET_DIR/tools
log=$CARGO_TARGET_DIR/scripts-test.log
mkdir -p "$tools"

passed=0
failed=0
skipped=0
table=()

row() { # outcome, step, remark
    table+=("$(printf '%-8s %-34s %s' "$1" "$2" "$3")")
}

skip() { # step, reason
    printf '\n==> %s: SKIPPED: %s\n' "$1" "$2"
    skipped=$((skipped + 1))
    row SKIPPED "$1" "$2"
}

# Runs a step and keeps its output in $log; the answer is the step's.
run() { # step, command…
    local step=$1
    shift
    printf '\n==> %s\n' "$step"
    SECONDS=0
    "$@" 2>&1 | tee "$log"
}

# A step that counts as one.
check() { # step, command…
    if run "$@"; then
        passed=$((passed + 1))
        row ran "$1" "${SECONDS} s"
    else
        failed=$((failed + 1))
        row FAILED "$1" "${SECONDS} s"
    fi
}

# A step that counts as many as it has tests.
cargo_tests() { # step, command…
    local outcome=ran p=0 f=0 i=0 silent
    run "$@" || outcome=FAILED
    while read -r more_p more_f more_i; do
        p=$((p + more_p)) f=$((f + more_f)) i=$((i + more_i))
    done < <(sed -n 's/.*test result: [A-Za-z]*\. \([0-9]*\) passed; \([0-9]*\) failed; \([0-9]*\) ignored.*/\1 \2 \3/p' "$log")
    # To libtest a test that said it did nothing has passed; here it has not.
    silent=$(grep '^DID NOT RUN: ' "$log" | sort -u | wc -l || true)
    p=$((p - silent)) i=$((i + silent))
    # It did not compile, or its process died.
    if [ $outcome = FAILED ] && [ $f = 0 ]; then f=1; fi
    if [ $outcome = ran ] && [ $((p + i)) = 0 ]; then
        echo "$1: cargo ran no test at all"
        outcome=FAILED f=1
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + i))
    row $outcome "$1" "${SECONDS} s: $p passed, $f failed, $i skipped"
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# A package with a lock file is built from it and from nothing else.
locked() { # directory
    if [ -f "$1/Cargo.lock" ]; then echo --locked; fi
}

# --- what the tests need ---------------------------------------------------------------------------------------------

present() {
    rustc --version && cargo --version && cc --version | head -n 1
}

apt_installs() { # package…
    has apt-get && [ "$(id -u)" = 0 ] || return 1
    printf '\n==> apt-get install %s\n' "$*"
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"
}

has_postgresql() {
    local directory
    for directory in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin; do
        [ -x "$directory/initdb" ] && [ -x "$directory/postgres" ] && return 0
    done
    has initdb && has postgres && has pg_ctl
}

install_grpcurl() {
    # Not a toolchain as well: the Go that is there has to do.
    GOTOOLCHAIN=local CGO_ENABLED=0 GOBIN=$tools \
        go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$grpcurl_version"
}

has_grpcio() {
    [ -x "$tools/venv/bin/python" ] && "$tools/venv/bin/python" -c 'import grpc, grpc_reflection, grpc_tools' 2>/dev/null
}

install_grpcio() {
    rm -rf "$tools/venv"
    python3 -m venv "$tools/venv" &&
        "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: \
            "grpcio==$grpcio_version" "grpcio-reflection==$grpcio_version" "grpcio-tools==$grpcio_version"
}

# The code that a Go client of docs/clients.md imports, and the modules that it needs.
install_go_client() {
    local client=$tools/go-client
    rm -rf "$client" && mkdir -p "$client"
    export GOTOOLCHAIN=local CGO_ENABLED=0
    GOBIN=$tools go install "google.golang.org/protobuf/cmd/protoc-gen-go@$protoc_gen_go_version" &&
        GOBIN=$tools go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$protoc_gen_go_grpc_version" &&
        PATH=$tools:$PATH npx --yes "--package=@bufbuild/buf@$buf_version" buf generate --path proto/scrip --output "$client" --template '{
            "version": "v2",
            "managed": {"enabled": true, "disable": [{"path": "google", "file_option": "go_package"}], "override": [
                {"file_option": "go_package_prefix", "module": "", "value": "example.com/billing/gen"}]},
            "plugins": [
                {"local": "protoc-gen-go", "out": "gen", "opt": "paths=source_relative"},
                {"local": "protoc-gen-go-grpc", "out": "gen", "opt": "paths=source_relative"}]}' &&
        cd "$client" && go mod init example.com/billing && go get "google.golang.org/grpc@$grpc_go_version" &&
        go mod tidy && go build ./...
}

install_node_client() {
    local client=$tools/node-client
    rm -rf "$client" && mkdir -p "$client"
    npm install --silent --no-fund --no-audit --prefix "$client" \
        "@grpc/grpc-js@$grpc_js_version" "@grpc/proto-loader@$proto_loader_version" "tsx@$tsx_version"
}

check "rustc, cargo and cc are there" present

if has_postgresql || { apt_installs postgresql && has_postgresql; }; then
    check "PostgreSQL is there" true
else
    skip "PostgreSQL is there" "not found and not installable here; the tests that need it say so themselves"
fi

if has pgbouncer || [ -x /usr/sbin/pgbouncer ] || apt_installs pgbouncer; then
    check "PgBouncer is there" true
else
    skip "PgBouncer is there" "not found and not installable here; the tests that need it say so themselves"
fi

if has grpcurl || [ -x "$tools/grpcurl" ]; then
    check "grpcurl is there" true
elif ! has go; then
    skip "grpcurl is there" "neither grpcurl nor Go is installed; the tests that call it did not run"
elif run "install grpcurl $grpcurl_version" install_grpcurl; then
    check "grpcurl is there" "$tools/grpcurl" -version
else
    skip "grpcurl is there" "go install failed (see above); the tests that call it did not run"
fi

# ensurepip is what Debian leaves out of python3 without python3-venv.
if ! has_grpcio && ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    apt_installs python3-venv || true
fi
if has_grpcio; then
    check "Python's grpcio is there" true
elif ! has python3; then
    skip "Python's grpcio is there" "python3 is not installed; the tests with a Python client did not run"
elif run "install grpcio $grpcio_version" install_grpcio && has_grpcio; then
    check "Python's grpcio is there" true
else
    skip "Python's grpcio is there" "no venv with grpcio could be made (see above); the tests with it did not run"
fi
if [ -f "$tools/go-client/go.sum" ]; then
    check "the Go client's modules are there" true
elif ! has go || ! has npx; then
    skip "the Go client's modules are there" "Go or npx is not installed; the test of the Go client did not run"
elif run "make the Go client's modules" install_go_client; then
    check "the Go client's modules are there" true
else
    skip "the Go client's modules are there" "they could not be made (see above); the test of the Go client did not run"
fi
if [ -x "$tools/node-client/node_modules/.bin/tsx" ]; then
    check "the TypeScript client's packages are there" true
elif ! has npm; then
    skip "the TypeScript client's packages are there" "npm is not installed; the test of that client did not run"
elif run "install the TypeScript client's packages" install_node_client; then
    check "the TypeScript client's packages are there" true
else
    skip "the TypeScript client's packages are there" "npm install failed (see above); the test did not run"
fi
PATH=$tools:$PATH

# --- the checks ------------------------------------------------------------------------------------------------------

packages=(.)
if [ -f tests/pure/Cargo.toml ]; then
    packages+=(tests/pure)
else
    skip "tests/pure" "there is no such package yet"
fi
# Nothing is measured here: only that what measures is in order.
packages+=(benches/peers)

for package in "${packages[@]}"; do
    at=$([ "$package" = . ] || echo " ($package)")
    manifest=$package/Cargo.toml
    mapfile -t lock < <(locked "$package")

    if cargo fmt --version >/dev/null 2>&1; then
        check "format$at" cargo fmt --manifest-path "$manifest" --check
    else
        skip "format$at" "rustfmt is not installed"
    fi
    if cargo clippy --version >/dev/null 2>&1; then
        check "clippy$at" cargo clippy --manifest-path "$manifest" "${lock[@]}" --all-targets -- -D warnings
    else
        skip "clippy$at" "clippy is not installed"
    fi
    # Doc tests are among them.
    cargo_tests "tests$at" cargo test --manifest-path "$manifest" "${lock[@]}" --no-fail-fast
done

# Bugs that only scripts/proof.sh turns on: that they still compile is seen here.
if cargo clippy --version >/dev/null 2>&1; then
    check "clippy, with bugs planted" cargo clippy --locked --features mutants --lib --test simulation -- -D warnings
fi

check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# Real servers and databases under faults, a minute each; scripts/proof.sh has the long ones.
check "torture on SQLite, a minute" scripts/torture.sh --debug --minutes 1 --store sqlite
if has_postgresql; then
    check "torture on PostgreSQL, a minute" scripts/torture.sh --debug --minutes 1 --store postgres --replicas 3
else
    skip "torture on PostgreSQL, a minute" "PostgreSQL was not found"
fi

if has shellcheck; then
    check "shellcheck" shellcheck scripts/*.sh .ci/run
else
    skip "shellcheck" "it is not installed"
fi

if [ ! -d proto ]; then
    skip "buf lint" "there is no proto directory yet"
elif ! has npx; then
    skip "buf lint" "npx is not installed"
elif ! run "install buf $buf_version" npx --yes "--package=@bufbuild/buf@$buf_version" buf --version; then
    skip "buf lint" "npx could not fetch it (see above)"
else
    where=$([ -f buf.yaml ] && echo . || echo proto)
    check "buf lint" npx --yes "--package=@bufbuild/buf@$buf_version" buf lint "$where"
fi

if ! cargo deny --version >/dev/null 2>&1; then
    skip "cargo deny" "it is not installed"
else
    check "cargo deny: licences, bans, sources" cargo deny --locked check licenses bans sources
    # The advisories are a repository of their own, fetched over the network.
    if run "fetch the advisories" cargo deny --locked fetch db; then
        check "cargo deny: advisories" cargo deny --locked check advisories
    else
        skip "cargo deny: advisories" "the advisory database could not be fetched"
    fi
fi

# --- the end ---------------------------------------------------------------------------------------------------------

printf '\n==> summary\n'
printf '%s\n' "${table[@]}"
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
