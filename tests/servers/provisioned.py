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
    """Return the folder with the jars of the Kafka version that kafka/pom.xml pins, or None."""
    pom = Path(__file__).with_name("kafka") / "pom.xml"
    version = re.search(r"<kafka\.version>(.+)</kafka\.version>", pom.read_text())
    assert version is not None
    folder = CACHE / "kafka" / version.group(1)
    # The marker is written last, so a download that was cut off is not taken for a whole one.
    return folder / "libs" if (folder / "complete").exists() else None


def clickhouse_library() -> Path | None:
    """Return the shared library that contains a whole ClickHouse server, or None."""
    library = CACHE / "clickhouse" / "node_modules" / "@chdb" / "lib-linux-x64-gnu" / "libchdb.so"
    return library if library.exists() else None
