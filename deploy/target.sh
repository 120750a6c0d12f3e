# shellcheck shell=bash
# For `source`: sets `target` to the folder into which cargo builds, whatever names it (environment, configuration).
target="$(cargo metadata --no-deps --offline --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')"
[ -n "$target" ] || {
    echo "error: cargo does not say where it builds" >&2
    exit 1
}
