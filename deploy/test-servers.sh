#!/bin/sh
# Provide what the tests run on: Apache Kafka, ClickHouse and a few system tools.
#
#   sh deploy/test-servers.sh
#
# Servers go to .cache/, pinned in tests/servers/. System packages are installed only where they are
# missing and where that is possible (root, apt-get); else it says which are missing, and fails.
# Does nothing, in an instant, when all is there. Prints one line per thing that it does.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cache="$root/.cache"
pom="$root/tests/servers/kafka/pom.xml"
npm_pins="$root/tests/servers/clickhouse"

say() { printf 'test servers: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# Run quietly; show everything only when it fails.
quiet() {
    log=$(mktemp)
    if "$@" >"$log" 2>&1 </dev/null; then
        rm -f "$log"
    else
        code=$?
        cat "$log" >&2
        rm -f "$log"
        say "failed: $*"
        exit "$code"
    fi
}

java_is_new_enough() {
    java="${JAVA_HOME:+$JAVA_HOME/bin/}java"
    have "$java" || return 1
    major=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${major:-0}" -ge 17 ]
}

kafka_version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$pom")
kafka="$cache/kafka/$kafka_version"
clickhouse="$cache/clickhouse"

kafka_is_there() { cmp -s "$pom" "$kafka/complete"; }
clickhouse_is_there() { cmp -s "$npm_pins/package-lock.json" "$clickhouse/complete"; }

# --- system packages -------------------------------------------------------------------------------
packages=""
java_is_new_enough || packages="$packages openjdk-17-jre-headless"
kafka_is_there || have mvn || packages="$packages maven"
clickhouse_is_there || have npm || packages="$packages nodejs npm"
have tshark || packages="$packages tshark"      # the oracle for decoded mirrors
have nft || packages="$packages nftables"       # faults in the namespace lab
have ip || packages="$packages iproute2"        # the namespaces themselves
have ethtool || packages="$packages ethtool"    # checksum offload off, so that captures are true

if [ -n "$packages" ]; then
    if [ "$(id -u)" = 0 ] && have apt-get; then
        say "installing$packages"
        export DEBIAN_FRONTEND=noninteractive
        quiet apt-get update -qq
        # shellcheck disable=SC2086  # a list of words
        quiet apt-get install -qq -y --no-install-recommends $packages
    else
        say "missing, and only root on a system with apt-get can add them here:$packages"
        exit 1
    fi
fi

# --- Apache Kafka: jars from Maven Central ---------------------------------------------------------
if ! kafka_is_there; then
    say "fetching Apache Kafka $kafka_version"
    rm -rf "$kafka"
    quiet mvn -q -B -ntp -f "$pom" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$kafka/libs"
    # Written last and holding what was asked for, so neither a cut-off nor an outdated set passes for whole.
    cp "$pom" "$kafka/complete"
fi

# --- ClickHouse: the library in an npm package -----------------------------------------------------
if ! clickhouse_is_there; then
    if [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then
        say "fetching ClickHouse"
        rm -rf "$clickhouse"
        mkdir -p "$clickhouse"
        cp "$npm_pins/package.json" "$npm_pins/package-lock.json" "$clickhouse/"
        quiet npm ci --prefix "$clickhouse" --no-audit --no-fund --ignore-scripts
        cp "$npm_pins/package-lock.json" "$clickhouse/complete"
    else
        say "no ClickHouse for $(uname -s) on $(uname -m); tests that need it are skipped"
    fi
fi
