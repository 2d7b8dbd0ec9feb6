"""Where `sh deploy/test-servers.sh` puts the servers, and what a test does when one is missing."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

CACHE = Path(__file__).resolve().parents[2] / ".cache"
_JAVA_VERSION_MIN = 17


def missing_server(what: str) -> NoReturn:
    """Skip the test for want of a server; with CI=true fail it, so that nothing is skipped unseen."""
    reason = f"{what}; `sh deploy/test-servers.sh` provides it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def java_command() -> str | None:
    """Return the path of a Java runtime of version 17 or newer, or None."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else None
    java = java or shutil.which("java")
    if java is None:
        return None
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    version = re.search(r'version "(\d+)', said.stderr)
    return java if version and int(version.group(1)) >= _JAVA_VERSION_MIN else None


def kafka_libraries() -> Path | None:
    """Return the folder with the jars of Apache Kafka, or None."""
    return _whole("kafka", "pom.xml", "libs")


def registry_folder() -> Path | None:
    """Return the folder with the schema registry's unpacked archive, or None."""
    return _whole("registry", "pom.xml", "libs")


def clickhouse_library() -> Path | None:
    """Return the shared library that contains a whole ClickHouse server, or None."""
    return _whole("clickhouse", "package-lock.json", "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so")


def monitoring_tool(name: str) -> str | None:
    """Return the path of promtool, prometheus, prometheus-alertmanager or amtool, or None."""
    unpacked = CACHE / "monitoring" / "usr" / "bin" / name
    return shutil.which(name) or (str(unpacked) if unpacked.exists() else None)


def _whole(name: str, pin: str, path: str) -> Path | None:
    # `complete` is a copy of the file that pins the version, written when all else was there.
    complete = CACHE / name / "complete"
    pinned = Path(__file__).with_name(name) / pin
    if not complete.exists() or complete.read_bytes() != pinned.read_bytes():
        return None
    return CACHE / name / path
