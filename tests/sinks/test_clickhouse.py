"""What only a server can do: users, TLS, and being away."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from uuid import uuid4

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sinks.migrate import migrate
from sinks.settings import ClickHouseSettings, StoreSettings
from sinks.store import Store, StoreError, TransientStoreError
from tests.servers.clickhouse_server import ClickHouseNative
from tests.servers.proxy import CuttableProxy

pytestmark = pytest.mark.servers

Opened = Callable[[StoreSettings], Store]


@pytest.fixture
def settings(clickhouse_native: ClickHouseNative) -> ClickHouseSettings:
    return ClickHouseSettings(
        clickhouse_native.host,
        clickhouse_native.native_port,
        f"test_{uuid4().hex[:12]}",
        connect_timeout_s=1,
        insert_deadline_s=1,
        query_deadline_s=1,
    )


def test_a_user_who_may_only_read_can_ask(settings: ClickHouseSettings, opened: Opened) -> None:
    migrate(opened(settings))
    reader = opened(dataclasses.replace(settings, user="reader", password="reader-password"))
    assert reader.query("SELECT count() FROM fault_history").rows == [(0,)]
    with pytest.raises(StoreError):
        reader.insert("minutes_rolled", {"minute": np.array([0]), "slots": np.array([1])})
    with pytest.raises(StoreError):
        reader.execute("DROP TABLE slots")


def test_a_wrong_password_is_not_tried_again_and_not_printed(
    start_clickhouse: Callable[[], ClickHouseNative], settings: ClickHouseSettings, opened: Opened
) -> None:
    # A server of its own: run from the library it dies of a failed log-in.
    port = start_clickhouse().native_port
    wrong = dataclasses.replace(settings, port=port, user="writer", password="not-the-password")
    with pytest.raises(StoreError, match="Authentication failed") as caught:
        opened(wrong).prepare()
    assert not isinstance(caught.value, TransientStoreError)
    assert "not-the-password" not in str(caught.value) + repr(wrong)


def test_a_server_that_is_not_there(settings: ClickHouseSettings, opened: Opened) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        store = opened(dataclasses.replace(settings, port=unused.getsockname()[1]))
        with pytest.raises(TransientStoreError, match="refused"):
            store.query("SELECT 1")


def test_a_black_hole_ends_at_the_deadline_and_the_next_call_connects_anew(
    settings: ClickHouseSettings, opened: Opened, cuttable_proxy: Callable[[int], CuttableProxy]
) -> None:
    proxy = cuttable_proxy(settings.port)
    store = opened(dataclasses.replace(settings, port=proxy.port))
    store.prepare()
    store.execute("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    assert store.insert("t", {"n": np.arange(3)}) == 3
    proxy.cut("black_hole")
    for call in (lambda: store.insert("t", {"n": np.arange(3)}), lambda: store.query("SELECT 1")):
        started = monotonic()
        with pytest.raises(TransientStoreError):
            call()
        assert monotonic() - started < 10
    proxy.cut("pass")
    assert store.insert("t", {"n": np.arange(3)}) == 3
    assert store.query("SELECT count() > 5 FROM t").rows == [(1,)]


@dataclasses.dataclass(frozen=True)
class Tls:
    port: int
    ca_file: str


@pytest.fixture
def tls(settings: ClickHouseSettings, tmp_path: Path) -> Iterator[Tls]:
    """TLS in front of the server's native port, with a certificate of its own making."""
    certificate, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_serve, args=(listener, context, settings.port), daemon=True)
    thread.start()
    yield Tls(listener.getsockname()[1], str(certificate))
    listener.close()


def test_tls(settings: ClickHouseSettings, opened: Opened, tls: Tls) -> None:
    secure = dataclasses.replace(settings, port=tls.port, secure=True, ca_file=tls.ca_file)
    migrate(opened(secure))
    assert opened(secure).query("SELECT count() FROM slots").rows == [(0,)]


def test_a_certificate_that_is_not_trusted(settings: ClickHouseSettings, opened: Opened, tls: Tls) -> None:
    with pytest.raises(StoreError, match="not trusted") as caught:
        opened(dataclasses.replace(settings, port=tls.port, secure=True)).prepare()
    assert not isinstance(caught.value, TransientStoreError)
    unchecked = opened(dataclasses.replace(settings, port=tls.port, secure=True, verify=False))
    unchecked.prepare()


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


def _serve(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        # A client that does not trust the certificate ends the handshake.
        with suppress(OSError):
            client = context.wrap_socket(plain, server_side=True)
            server = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=_copy, args=(client, server), daemon=True).start()


def _copy(client: ssl.SSLSocket, server: socket.socket) -> None:
    """Both ways, in one thread: a TLS socket does not bear two."""
    with suppress(OSError), client, server, selectors.DefaultSelector() as selector:
        for each in (client, server):
            selector.register(each, selectors.EVENT_READ)
        while True:
            for source in [client] if client.pending() else [key.fileobj for key, _ in selector.select()]:
                assert isinstance(source, socket.socket)
                data = source.recv(65_536)
                if not data:
                    return
                (server if source is client else client).sendall(data)
