#!/bin/sh
# Provide what the tests run on: Apache Kafka, a schema registry, ClickHouse and a few system tools.
#
#   sh deploy/test-servers.sh
#
# Servers go to .cache/, pinned in tests/servers/. System packages are installed only where they are
# missing and where that is possible (root, apt-get); else it says which are missing, and fails.
# Does nothing, in an instant, when all is there. Prints one line per thing that it does.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cache="$root/.cache"
pins="$root/tests/servers"

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

# Each server's folder holds a copy of the file that pins it, written last: so neither a download that was cut
# off nor one of another version passes for the server.
kafka="$cache/kafka"
registry="$cache/registry"
clickhouse="$cache/clickhouse"
is_there() { cmp -s "$1" "$2/complete"; }
kafka_is_there() { is_there "$pins/kafka/pom.xml" "$kafka"; }
registry_is_there() { is_there "$pins/registry/pom.xml" "$registry"; }
clickhouse_is_there() { is_there "$pins/clickhouse/package-lock.json" "$clickhouse"; }

# --- system packages -------------------------------------------------------------------------------
packages=""
java_is_new_enough || packages="$packages openjdk-17-jre-headless"
{ kafka_is_there && registry_is_there; } || have mvn || packages="$packages maven"
clickhouse_is_there || have npm || packages="$packages nodejs npm"
have tshark || packages="$packages tshark"      # the oracle for decoded mirrors
have nft || packages="$packages nftables"       # faults in the namespace lab
have ip || packages="$packages iproute2"        # the namespaces themselves
have chromium || packages="$packages chromium fonts-dejavu-core"  # the console in a browser
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

# --- Prometheus and Alertmanager -------------------------------------------------------------------
# Unpacked, not installed: Debian's packages start both as services of the machine.
monitoring="$cache/monitoring"
for tool in promtool prometheus prometheus-alertmanager amtool; do
    have "$tool" || [ -x "$monitoring/usr/bin/$tool" ] || missing_monitoring=yes
done
if [ -n "${missing_monitoring:-}" ]; then
    if have apt-get && have dpkg; then
        say "fetching prometheus and prometheus-alertmanager"
        rm -rf "$monitoring"
        mkdir -p "$monitoring"
        [ "$(id -u)" != 0 ] || quiet apt-get update -qq
        (
            cd "$monitoring"
            quiet apt-get download prometheus prometheus-alertmanager
            for package in *.deb; do quiet dpkg -x "$package" .; done
            rm -f -- *.deb
        )
    else
        say "no apt-get to fetch prometheus and prometheus-alertmanager; tests that need them are skipped"
    fi
fi

# --- from Maven Central ----------------------------------------------------------------------------
# fetch NAME FOLDER GOAL: what the pom of NAME lists, into FOLDER/libs.
fetch() {
    say "fetching $1"
    rm -rf "$2"
    quiet mvn -q -B -ntp -f "$pins/$1/pom.xml" "dependency:$3" -DincludeScope=runtime -DoutputDirectory="$2/libs"
    cp "$pins/$1/pom.xml" "$2/complete"
}
kafka_is_there || fetch kafka "$kafka" copy-dependencies
registry_is_there || fetch registry "$registry" unpack

# --- from npm: ClickHouse as a library -------------------------------------------------------------
if ! clickhouse_is_there; then
    if [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then
        say "fetching clickhouse"
        rm -rf "$clickhouse"
        mkdir -p "$clickhouse"
        cp "$pins/clickhouse/package.json" "$pins/clickhouse/package-lock.json" "$clickhouse/"
        quiet npm ci --prefix "$clickhouse" --no-audit --no-fund --ignore-scripts
        cp "$pins/clickhouse/package-lock.json" "$clickhouse/complete"
    else
        say "no ClickHouse for $(uname -s) on $(uname -m); tests that need it are skipped"
    fi
fi
