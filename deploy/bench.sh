#!/usr/bin/env bash
# The benchmarks: `bench.sh NAME` runs one, `bench.sh all` every one. Each starts a PostgreSQL of its own with durable
# settings, prints a table and writes target/bench/NAME.json.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=deploy/target.sh
source deploy/target.sh

build() {
    deploy/setup.sh up
    deploy/postgres/fetch.sh
    deploy/web.sh
    cargo build --release --workspace --bins
}

# Other stores are built apart: what they need is no concern of ours.
peers() {
    cargo build --release --manifest-path benches/peers/Cargo.toml --target-dir "$target/peers"
}

with_postgres() {
    "$target/release/foldline-servers" --postgres 18 -- "$@"
}

append() {
    peers
    with_postgres "$target/release/foldline-bench" append --peers "$target/peers/release/foldline-peers"
}

bulk() {
    with_postgres "$target/release/foldline-bench" bulk
}

command_process() {
    with_postgres "$target/release/foldline-bench" command
}

read_back() {
    peers
    with_postgres "$target/release/foldline-bench" read --peers "$target/peers/release/foldline-peers"
}

tags() {
    with_postgres "$target/release/foldline-bench" tags
}

held() {
    with_postgres "$target/release/foldline-bench" held
}

relay() {
    deploy/kafka/fetch.sh
    "$target/release/foldline-servers" --postgres 18 --kafka -- "$target/release/foldline-bench" relay
}

project() {
    deploy/kafka/fetch.sh
    peers
    "$target/release/foldline-servers" --postgres 18 --kafka -- \
        "$target/release/foldline-bench" project --peers "$target/peers/release/foldline-peers"
}

case "${1:-}" in
    all)
        build
        append
        bulk
        command_process
        read_back
        tags
        held
        relay
        project
        ;;
    append | bulk | tags | held | relay | project)
        build
        "$1"
        ;;
    command)
        build
        command_process
        ;;
    read)
        build
        read_back
        ;;
    *)
        echo "error: usage: bench.sh all|append|bulk|command|read|tags|held|relay|project" >&2
        exit 1
        ;;
esac
