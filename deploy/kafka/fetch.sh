#!/usr/bin/env bash
# Fetches Apache Kafka into the user's cache: the jars that pom.xml names, through Maven. Does nothing when they are there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
    echo "error: $*" >&2
    exit 1
}

version="$(sed -n '/<artifactId>kafka_/,/<\/dependency>/s#.*<version>\(.*\)</version>.*#\1#p' pom.xml)"
cache="${XDG_CACHE_HOME:-${HOME:?is not set, and names the cache}/.cache}/foldline"
folder="$cache/kafka-$version"
if [ -d "$folder" ] && cmp -s log4j2.properties "$folder/log4j2.properties"; then
    exit 0
fi

mkdir -p "$cache" 2>/dev/null || fail "the cache folder $cache can't be made: check its permissions, or set XDG_CACHE_HOME"
[ -w "$cache" ] || fail "the cache folder $cache can't be written: check its permissions, or set XDG_CACHE_HOME"
if [ -d "$folder" ]; then
    cp log4j2.properties "$folder/log4j2.properties.new" && mv "$folder/log4j2.properties.new" "$folder/log4j2.properties"
    exit 0
fi
# What an interrupted run left behind; a younger one may still be at work.
find "$cache" -maxdepth 1 -name 'kafka-*.partial.*' -mmin +60 -exec rm -rf {} +

partial="$(mktemp -d "$cache/kafka-$version.partial.XXXXXX")" || fail "no folder can be made in $cache: check the disk"
trap 'rm -rf "$partial"' EXIT
chmod 755 "$partial"

echo "fetching Apache Kafka $version (46 jars, 43 MB)" >&2
# -U: a download that failed is tried again at once, not only the next day. Maven ends its download counters with a
# carriage return: a terminal shows them, a log does not want them.
options=(-U -Dstyle.color=never)
[ -t 2 ] || options+=(-B -ntp)
if ! mvn "${options[@]}" -f pom.xml org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$partial/libs" 2>&1 | tee "$partial/output" | grep --line-buffered -v -E '^\[INFO\] (-+|$|Scanning)' >&2; then
    reason="$(grep -m 1 -o -E 'No space left on device|Permission denied|Read-only file system' "$partial/output" ||
        grep -m 1 -E '^\[ERROR\]' "$partial/output" || tail -n 1 "$partial/output")"
    fail "Apache Kafka could not be downloaded: ${reason:-Maven said nothing}"
fi
[ -s "$partial/libs/kafka_2.13-$version.jar" ] || fail "Apache Kafka could not be downloaded: its jar is missing from what Maven copied"
rm "$partial/output"
cp log4j2.properties "$partial/"
# Where somebody else was faster, theirs is as good.
[ -d "$folder" ] || mv "$partial" "$folder"
