#!/usr/bin/env bash
# Builds Foldline and becomes it: `up.sh up [flags]`, `up.sh up-kafka [flags]`. Standard output is the program's alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1:-}" in
    up) deploy/setup.sh up ;;
    up-kafka)
        deploy/setup.sh test
        deploy/kafka/fetch.sh
        ;;
    *)
        echo "error: usage: up.sh up|up-kafka [flags]" >&2
        exit 1
        ;;
esac
deploy/postgres/fetch.sh
deploy/web.sh
cargo build --release --bin foldline >&2

# shellcheck source=deploy/target.sh
source deploy/target.sh
exec "$target/release/foldline" "$@"
