#!/usr/bin/env bash
# A coordinator of Citus and two workers on this machine, for the tests of docs/scaling.md:
#
#   scripts/citus.sh up          starts them on the ports 7100 (coordinator), 7101 and 7102, anew
#   scripts/citus.sh down        stops them and removes what they stored
#   scripts/citus.sh NAME        has the database NAME, just made on the coordinator, on all three, and distributes it
#
# Needs PostgreSQL with Citus installed into it, and the binary: SCRIP, or target/debug/scrip.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
place=${TMPDIR:-/tmp}/scrip-citus
bin=$(pg_config --bindir)
scrip=${SCRIP:-$root/target/debug/scrip}

# PostgreSQL refuses to run as root.
server() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

sql() { # port, database, statement
    psql -qXAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$1" -U postgres -d "$2" -c "$3" >/dev/null
}

down() {
    for node in 0 1 2; do
        server "$bin/pg_ctl" -s -m immediate -D "$place/$node" stop 2>/dev/null || true
    done
    rm -rf "$place"
}

up() {
    down
    mkdir -p "$place"
    if [ "$(id -u)" = 0 ]; then chown postgres "$place"; fi
    for node in 0 1 2; do
        server "$bin/initdb" --no-sync --auth=trust --username=postgres --encoding=UTF8 --locale=C \
            -D "$place/$node" >/dev/null
        printf '%s\n' "port = 710$node" "listen_addresses = '127.0.0.1'" "unix_socket_directories = '$place'" \
            "shared_preload_libraries = 'citus'" "max_connections = 300" \
            "max_worker_processes = 300" "max_prepared_transactions = 300" \
            "citus.shard_count = 8" "citus.recover_2pc_interval = 5s" "lock_timeout = 5s" \
            >>"$place/$node/postgresql.conf"
        server "$bin/pg_ctl" -s -w -D "$place/$node" -l "$place/log$node" start
    done
}

# One at a time: nodes are added under locks of the whole cluster.
database() { # name
    exec 9>"$place.lock"
    flock 9
    for node in 1 2; do
        sql "710$node" postgres "CREATE DATABASE \"$1\" TEMPLATE template0"
    done
    for node in 0 1 2; do
        sql "710$node" "$1" "CREATE EXTENSION citus"
    done
    sql 7100 "$1" "SELECT citus_set_coordinator_host('127.0.0.1', 7100)"
    sql 7100 "$1" "SELECT citus_add_node('127.0.0.1', 7101), citus_add_node('127.0.0.1', 7102)"
    "$scrip" migrate --distribute citus --database-url "postgres://postgres@127.0.0.1:7100/$1?sslmode=disable" \
        >/dev/null
}

case ${1:-} in
up) up ;;
down) down ;;
'') sed -n '2,8p' "$0" && exit 2 ;;
*) database "$1" ;;
esac
