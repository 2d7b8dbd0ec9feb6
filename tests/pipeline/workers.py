"""Worker processes that a test may kill."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import yaml

from bytetracker.embedded.process import ServerProcess
from streams.settings import JoinSettings

#: The group gives a dead worker's partitions away after so long.
SESSION_TIMEOUT_S = 3


class Workers:
    """`bytetracker worker` processes of one consumer group; a context manager that ends them all."""

    def __init__(self, bootstrap: str, partitions: int, inventory: str, settings: JoinSettings, folder: Path):
        self._folder = folder
        self._running: dict[str, ServerProcess] = {}
        self.config_path = folder / "bytetracker.yaml"
        self.config_path.write_text(
            yaml.safe_dump(
                {
                    "inventory": inventory,
                    "partitions": partitions,
                    "kafka": {"bootstrap_servers": bootstrap},
                    "worker": {
                        "app_id": f"worker-{uuid4().hex[:8]}",
                        "session_timeout_s": SESSION_TIMEOUT_S,
                        "join": {"sample_one_in": settings.sample_one_in},
                    },
                }
            )
        )

    def start(self, name: str) -> None:
        """Start a worker, or start it again."""
        log_path = self._folder / f"{name}-{uuid4().hex[:4]}.log"
        command = [sys.executable, "-m", "bytetracker", "worker", "--config", str(self.config_path)]
        environment = {"BYTETRACKER_FAUST_DATADIR": str(self._folder / name)}
        process = self._running[name] = ServerProcess(name, command, log_path, environment=environment)
        process.start(lambda: True, 5.0)

    def kill(self, name: str) -> None:
        """As a crash would."""
        self._running.pop(name).kill()

    def stop(self, name: str, timeout_s: float = 10.0) -> None:
        """In order."""
        self._running.pop(name).stop(timeout_s)

    def check(self) -> None:
        """AssertionError with its log if one has ended by itself."""
        for process in self._running.values():
            assert process.running, f"{process.name} ended:\n{process.log_tail()}"

    def logs(self) -> str:
        """The ends of all logs, for messages."""
        return "\n".join(f"--- {p.name}\n{p.read_text()[-1500:]}" for p in sorted(self._folder.glob("*.log")))

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._running):
            self.kill(name)
