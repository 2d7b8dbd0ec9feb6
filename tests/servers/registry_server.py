"""A schema registry with Confluent's REST interface: Apicurio Registry, run from its archive."""

import urllib.error
import urllib.request
from pathlib import Path

from bytetracker.embedded.process import ServerProcess, free_port, port_answers

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 10.0


class SchemaRegistry:
    """One registry that keeps its schemas in memory, so a restart forgets them."""

    def __init__(self, java: str, unpacked: Path, folder: Path) -> None:
        """Choose a port; nothing runs yet. ``unpacked`` holds the archive, ``folder`` takes the log."""
        self._port = free_port()
        (jar,) = unpacked.glob("*-runner.jar")
        settings = {
            "quarkus.http.host": _HOST,
            "quarkus.http.port": str(self._port),
            "quarkus.log.level": "WARN",
        }
        flags = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        flags += [f"-D{key}={value}" for key, value in settings.items()]
        self._process = ServerProcess(
            "schema registry", [java, *flags, "-jar", str(jar)], folder / "registry.log"
        )

    @property
    def url(self) -> str:
        """Root of the interface, as clients of a Confluent schema registry want it."""
        return f"http://{_HOST}:{self._port}/apis/ccompat/v7"

    def start(self) -> None:
        """Start it and wait until it lists its (no) subjects."""
        self._process.start(self._answers, _START_TIMEOUT_S)

    def stop(self) -> None:
        """End it."""
        self._process.stop(_STOP_TIMEOUT_S)

    def _answers(self) -> bool:
        if not port_answers(_HOST, self._port):
            return False
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False
