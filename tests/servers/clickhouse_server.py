"""ClickHouse with its native and HTTP ports, run from the library in an npm package."""

import sys
from pathlib import Path

from clickhouse_driver import Client
from clickhouse_driver.errors import Error as ClickHouseError

from bytetracker.embedded.process import ServerProcess, free_port, port_answers

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 30.0
# It ends at once when no client is connected; with one it lingers for 4 s and aborts, so the wait is short.
_STOP_TIMEOUT_S = 2.0
_SERVE = Path(__file__).with_name("clickhouse_serve.py")

# Passwords in the open: they guard a server on loopback that lives for one test run.
_CONFIG = """<clickhouse>
  <users_config>{users}</users_config>
  <max_server_memory_usage>{memory_bytes_max}</max_server_memory_usage>
  <logger><level>fatal</level><console_log_level>fatal</console_log_level><console>true</console></logger>
</clickhouse>
"""
_USERS = """<clickhouse>
  <profiles><default/><readonly><readonly>2</readonly></readonly></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password/><profile>default</profile><quota>default</quota>
      <networks><ip>127.0.0.1</ip></networks><access_management>1</access_management>
    </default>
    <writer>
      <password>writer-password</password><profile>default</profile><quota>default</quota>
      <networks><ip>127.0.0.1</ip></networks>
    </writer>
    <reader>
      <password>reader-password</password><profile>readonly</profile><quota>default</quota>
      <networks><ip>127.0.0.1</ip></networks>
    </reader>
    <console>
      <password>console-password</password><profile>default</profile><quota>default</quota>
      <networks><ip>127.0.0.1</ip></networks>
      <grants><query>GRANT SELECT ON rights.*</query></grants>
    </console>
  </users>
</clickhouse>
"""


class ClickHouseNative:
    """One ClickHouse server that keeps its data and its ports over ``stop``, ``kill`` and ``start``.

    Users: ``default`` without a password, ``writer`` (``writer-password``), ``reader``
    (``reader-password``, may only read) and ``console`` (``console-password``, has ``GRANT SELECT ON
    rights.*``).
    """

    host = _HOST

    def __init__(self, library: Path, folder: Path, memory_bytes_max: int = 3 * 1024**3) -> None:
        """Choose ports and write the configuration into ``folder``; nothing runs yet."""
        self.native_port, self.http_port = free_port(), free_port()
        folder.mkdir(parents=True, exist_ok=True)
        users, config = folder / "users.xml", folder / "config.xml"
        users.write_text(_USERS)
        config.write_text(_CONFIG.format(users=users, memory_bytes_max=memory_bytes_max))
        options = [
            f"--config-file={config}",
            f"--path={folder / 'data'}",
            f"--tcp_port={self.native_port}",
            f"--http_port={self.http_port}",
            f"--listen_host={_HOST}",
        ]
        command = [sys.executable, "-I", "-S", str(_SERVE), str(library), *options]
        self._process = ServerProcess("ClickHouse", command, folder / "clickhouse.log")

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self._process.running

    @property
    def http_url(self) -> str:
        """Root of its HTTP interface."""
        return f"http://{_HOST}:{self.http_port}"

    def client(self, user: str = "default", password: str = "", **options: object) -> Client:
        """Return a client over the native port, with timeouts; it connects when first used."""
        usual = {"port": self.native_port, "connect_timeout": 2, "send_receive_timeout": 30}
        return Client(_HOST, user=user, password=password, **{**usual, **options})

    def start(self) -> None:
        """Start it, on the data that is there, and wait until it answers a query."""
        self._process.start(self._answers, _START_TIMEOUT_S)

    def stop(self) -> None:
        """End it by closing its input."""
        self._process.close_input()
        self._process.wait_or_kill(_STOP_TIMEOUT_S)

    def log_tail(self) -> str:
        """End of its log: warnings and worse."""
        return self._process.log_tail()

    def kill(self) -> None:
        """End it at once (kill -9), as a crash would."""
        self._process.kill()

    def _answers(self) -> bool:
        if not port_answers(_HOST, self.native_port):
            return False
        client = self.client()
        try:
            return bool(client.execute("SELECT 1") == [(1,)])
        except (OSError, EOFError, ClickHouseError):
            return False
        finally:
            client.disconnect()
