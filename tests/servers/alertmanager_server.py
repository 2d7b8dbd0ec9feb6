"""Prometheus' Alertmanager itself, from Debian's package."""

import json
from pathlib import Path
from typing import Any

import httpx

from bytetracker.embedded.process import ServerProcess, free_port

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0


class Alertmanager:
    """One Alertmanager that keeps its port and its configuration over `stop`, `kill` and `start`.

    It keeps silences and what it has notified on disk, and alerts in memory only.
    """

    def __init__(self, program: str, folder: Path) -> None:
        """Choose a port and write a configuration that tells nobody; nothing runs yet."""
        self.port = free_port()
        self._folder, self._program = folder, program
        folder.mkdir(parents=True, exist_ok=True)
        self.configure({"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]})
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.port}"

    @property
    def config_path(self) -> Path:
        return self._folder / "alertmanager.yml"

    def configure(self, document: dict[str, Any]) -> None:
        """Write its configuration (JSON is YAML); read at the next start or `reload`."""
        self.config_path.write_text(json.dumps(document))

    def start(self) -> None:
        """Start it and wait until it is ready; `ServerFailed` otherwise."""
        command = [
            self._program,
            f"--config.file={self.config_path}",
            f"--storage.path={self._folder / 'data'}",
            f"--web.listen-address={_HOST}:{self.port}",
            "--cluster.listen-address=",
        ]
        self._process = ServerProcess("Alertmanager", command, self._folder / "alertmanager.log")
        self._process.start(self._answers, _START_TIMEOUT_S)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(_STOP_TIMEOUT_S)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def reload(self) -> None:
        """Read the configuration again."""
        httpx.post(f"{self.url}/-/reload", timeout=10, trust_env=False).raise_for_status()

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are open as its API lists them: ended ones are left out."""
        answer = httpx.get(f"{self.url}/api/v2/alerts", timeout=10, trust_env=False)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def groups(self) -> list[dict[str, Any]]:
        """Groups of open alerts."""
        answer = httpx.get(f"{self.url}/api/v2/alerts/groups", timeout=10, trust_env=False)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=1, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False
