#!/usr/bin/env bash
# The whole check, over a real PostgreSQL and a real Kafka: `test.sh test`, or `test.sh soak` at full size. Says at its
# end where the time went; the last lines are cargo's own. `test.sh goldens` writes the golden files anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# One selection of packages and features for all of cargo's steps: another would build most things a second time.
selection=(--workspace --features crash-points)
# Documentation's examples are left for the end.
targets=(--lib --bins --tests)

# `SECONDS NAME` each; the second half of a run goes on with what the first has measured.
steps=()
while read -r line; do
    [ -z "$line" ] || steps+=("$line")
done <<<"${FOLDLINE_TEST_STEPS:-}"

step() {
    local name="$1" began=$SECONDS
    shift
    echo "--- $name" >&2
    "$@" || {
        echo "error: failed at: $name" >&2
        exit 1
    }
    steps+=("$((SECONDS - began)) $name")
}

times() {
    local line total=0
    [ "${#steps[@]}" -gt 0 ] || return 0
    echo
    echo "seconds  step"
    for line in "${steps[@]}"; do
        printf '%7d  %s\n' "${line%% *}" "${line#* }"
        total=$((total + ${line%% *}))
    done
    printf '%7d  in all\n\n' "$total"
}

# Tests that need servers; foldline-servers calls this script again with them in the environment.
suites() {
    unset FOLDLINE_TEST_STEPS
    trap times EXIT
    if [ "$1" = soak ]; then
        export FOLDLINE_SOAK=1
    fi
    step "the log on PostgreSQL 16" env TEST_POSTGRES_URL="${TEST_POSTGRES16_URL:?names no server}" \
        cargo test "${selection[@]}" --test log
    step "the suite" cargo test "${selection[@]}" "${targets[@]}"
    trap - EXIT
    times
    # Their lines are cargo's last ones, and so ours.
    cargo test "${selection[@]}" --doc
}

# Some tests start the examples as processes; naming them to `cargo test` would make tests of them instead.
build() {
    cargo test "${selection[@]}" "${targets[@]}" --no-run &&
        cargo build "${selection[@]}" --examples
}

with_servers() {
    # shellcheck source=deploy/target.sh
    source deploy/target.sh
    exec "$target/debug/foldline-servers" --postgres 18 --postgres 16 --kafka -- "$@"
}

all() {
    trap times EXIT
    step "setup" deploy/setup.sh test
    step "PostgreSQL" deploy/postgres/fetch.sh
    step "Kafka" deploy/kafka/fetch.sh
    step "pages" deploy/web.sh
    if [ "$1" = test ]; then
        step "formatting" cargo fmt --all --check
        step "clippy" cargo clippy "${selection[@]}" --all-targets -- -D warnings
    fi
    if [ "$1" = soak ]; then
        # An optimised build has failed where the others had not.
        step "building what make up starts" cargo build --release --bin foldline
    fi
    step "building the tests" build
    trap - EXIT
    FOLDLINE_TEST_STEPS="$(printf '%s\n' "${steps[@]}")"
    export FOLDLINE_TEST_STEPS
    with_servers deploy/test.sh suites "$1"
}

goldens() {
    deploy/setup.sh test
    deploy/postgres/fetch.sh
    deploy/kafka/fetch.sh
    deploy/web.sh
    build
    export FOLDLINE_WRITE_GOLDENS=1
    with_servers cargo test "${selection[@]}" "${targets[@]}" golden
}

case "${1:-} ${2:-}" in
    "test " | "soak ") all "$1" ;;
    "goldens ") goldens ;;
    "suites test" | "suites soak") suites "$2" ;;
    *)
        echo "error: usage: test.sh test|soak|goldens" >&2
        exit 1
        ;;
esac
