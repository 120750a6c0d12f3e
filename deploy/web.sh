#!/usr/bin/env bash
# Builds the pages that the services carry, each when it is missing or older than its sources.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

is_current() {
    [ -d dist ] && [ -f "$stamp" ] &&
        [ -z "$(find . \( -name node_modules -o -name dist \) -prune -o -type f -newer "$stamp" -print | head -n 1)" ]
}

# Written last, where git and the build don't look: a build that was interrupted leaves none.
stamp=node_modules/.foldline-built
for folder in query/graphiql command/openapi; do
    [ -f "$folder/package.json" ] || continue
    (
        cd "$folder"
        is_current && exit 0
        echo "building $folder" >&2
        rm -f "$stamp"
        if ! { npm ci --no-audit --no-fund && npm run build; } >&2; then
            echo "error: $folder could not be built: npm's lines above say why" >&2
            exit 1
        fi
        touch "$stamp"
    )
done
