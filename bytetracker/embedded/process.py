"""One child process of ours: leashed to us, with a log file, awaited until it answers, ended for sure."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

_LEASH = Path(__file__).with_name("leash.py")
_POLL_S = 0.02
_LOG_TAIL_BYTES = 2000


class ServerFailed(RuntimeError):
    """A server did not start, or ended when it should not have; the message holds the end of its log."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port of ``host`` that was free a moment ago; another program may still take it."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether nobody listens on a TCP port of ``host``, and we may."""
    with socket.socket() as probe:
        # As servers do: connections of an earlier one that linger do not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return not port_answers(host, port)


def port_answers(host: str, port: int) -> bool:
    """Tell whether a TCP connection can be opened, waiting at most 0.2 s."""
    try:
        socket.create_connection((host, port), timeout=0.2).close()
    except OSError:
        return False
    return True


class ServerProcess:
    """A child process in a process group of its own, killed by the kernel when its parent thread ends.

    The kernel looks at the parent *thread*: start servers from the main thread, or from one that lives
    as long as they shall. Its own group keeps a Ctrl-C at the terminal for whoever supervises it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_path: Path,
        *,
        environment: Mapping[str, str] | None = None,
        data_bytes_max: int = 0,
    ) -> None:
        """Describe the process; nothing runs yet.

        ``command[0]`` is an absolute path, ``environment`` is added to ours, ``data_bytes_max`` limits
        its private memory (0: no limit; Linux only). The log is continued at each start.
        """
        self.name = name
        self.log_path = log_path
        self._command = list(command)
        self._environment = dict(environment or {})
        self._data_bytes_max = data_bytes_max
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, answers: Callable[[], bool], timeout_s: float) -> None:
        """Start it and wait until ``answers()`` is true.

        Raises ``ServerFailed`` when it ends before that or ``timeout_s`` pass; it is then ended.
        """
        if self.running:
            raise ServerFailed(f"{self.name} runs already")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        leash = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), str(self._data_bytes_max)]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*leash, *self._command],
                # An open pipe that we never write to: servers that watch their input end with us too.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        deadline_s = time.monotonic() + timeout_s
        try:
            while not answers():
                if not self.running:
                    raise ServerFailed(f"{self.name} ended while starting\n{self.log_tail()}")
                if time.monotonic() > deadline_s:
                    raise ServerFailed(f"{self.name} not ready after {timeout_s} s\n{self.log_tail()}")
                time.sleep(_POLL_S)
        except BaseException:
            self.kill()
            raise

    def stop(self, timeout_s: float = 5.0) -> None:
        """Close its input and ask it to end (SIGTERM); kill its process group after ``timeout_s``."""
        self.ask_to_stop()
        self.wait_or_kill(timeout_s)

    def ask_to_stop(self) -> None:
        """Close its input and send SIGTERM, without waiting."""
        self.close_input()
        self._signal(signal.SIGTERM)

    def close_input(self) -> None:
        """Close its standard input, which some servers take as the wish that they end."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def wait_or_kill(self, timeout_s: float) -> None:
        """Wait for its end for ``timeout_s``, then kill it and whatever it started."""
        if self._process is not None:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End its whole process group at once (SIGKILL) and reap it."""
        self._signal(signal.SIGKILL)
        self.close_input()
        if self._process is not None:
            self._process.wait()

    def memory_bytes(self) -> int:
        """Resident memory; 0 when it does not run."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss) if self.pid is not None else 0
        except psutil.NoSuchProcess:
            return 0

    def log_tail(self) -> str:
        """Last 2,000 bytes of its log, for error messages."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def _signal(self, number: int) -> None:
        if self._process is not None and self.running:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return  # it ended between the look and the call
