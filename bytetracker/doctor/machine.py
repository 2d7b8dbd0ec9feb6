"""What this machine lets its parts do: raw sockets, interfaces, ports; and its clock."""

from __future__ import annotations

import ctypes
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bytetracker.doctor.finding import Finding, fail, ok, warn
from fabric.lab.enter import namespace_path, open_in_namespace

CONSOLE_PORT = "console.port"
_ETH_P_ALL = 0x0003
_GRANT = (
    "run it as root or with CAP_NET_RAW, e.g. `setcap cap_net_raw+ep` on its Python, or AmbientCapabilities"
)
_TIME_ERROR = 5
#: What our metrics endpoints and our page say of themselves.
_OUR_METRICS, _OUR_PAGE = b"bytetracker_build_info", b"ByteTracker"


def check_sniffer(part: str, interface: str, namespace: str | None) -> Iterator[Finding]:
    """Whether a part can open its interface. `namespace`: the one that the interface is in; None: our own."""
    if namespace and not namespace_path(namespace).exists():
        yield fail(
            f"{part}.interface", f"there is no network namespace {namespace}", f"mend {part}.namespace"
        )
        return

    def try_it() -> None:
        with closing(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))) as sniffer:
            sniffer.bind((interface, 0))

    try:
        if namespace:
            open_in_namespace(namespace, try_it)
        else:
            try_it()
    except PermissionError:
        yield fail(f"{part}.rights", "this user may not open raw sockets", _GRANT)
    except OSError as error:
        names = ", ".join(name for _, name in socket.if_nameindex()) if not namespace else "others"
        yield fail(
            f"{part}.interface",
            f"{interface or 'no interface'}: {error.strerror}",
            f"set {part}.interface to one of this machine's: {names}",
        )
    else:
        yield ok(f"{part}.rights", f"may open raw sockets, and {interface} is there")
        if not namespace and _state(interface) == "down":
            yield warn(f"{part}.interface", f"{interface} is down", f"`ip link set {interface} up`")


def _state(interface: str) -> str:
    try:
        return Path(f"/sys/class/net/{interface}/operstate").read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port that a part of ours will listen on."""

    part: str
    address: str
    port: int
    option: str  # that sets it


def check_ports(listeners: list[Listener]) -> Iterator[Finding]:
    """Whether each port is free, or held by one of our own parts."""
    taken_by: dict[int, Listener] = {}
    for each in listeners:
        if each.port in taken_by:
            yield fail(
                "ports",
                f"{each.option} and {taken_by[each.port].option} are both {each.port}",
                f"give {each.part} another port",
            )
            continue
        taken_by[each.port] = each
        yield _judge_port(each)


def _judge_port(each: Listener) -> Finding:
    where = f"{each.address}:{each.port}"
    family = socket.AF_INET6 if ":" in each.address else socket.AF_INET
    try:
        with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((each.address, each.port))
    except OSError as error:
        if _is_ours(each):
            return ok("ports", f"{where}: a part of ours answers")
        return fail(
            "ports", f"{where} ({each.option}): {error.strerror}", f"change {each.option}, or end what has it"
        )
    return ok("ports", f"{where} is free for {each.part}")


def _is_ours(each: Listener) -> bool:
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(each.address, each.address)
    host = f"[{address}]" if ":" in address else address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    path, sign = ("/", _OUR_PAGE) if each.option == CONSOLE_PORT else ("/metrics", _OUR_METRICS)
    try:
        with opener.open(f"http://{host}:{each.port}{path}", timeout=2) as answer:
            body: bytes = answer.read(1 << 20)
            return sign in body
    except (OSError, ValueError, urllib.error.URLError):
        return False


def check_controller(controller_file: str | None, why_gone: Callable[[], str]) -> Iterator[Finding]:
    """Whether the file without which no probes are sent is there."""
    if controller_file is None:
        return
    reason = why_gone()
    if reason:
        yield fail("prober.controller", reason, "restore the file, or unset prober.controller_file")
    else:
        yield ok("prober.controller", f"{controller_file} is there")


def check_own_clock(state: int | None = None) -> Iterator[Finding]:
    """Whether something keeps this machine's clock in order. `state`: as adjtimex(2) returns it."""
    state = _adjtimex() if state is None else state
    if state == _TIME_ERROR:
        yield warn(
            "clock.here",
            "the kernel does not know this machine's clock to be synchronised",
            "run an NTP or PTP client (chrony, systemd-timesyncd); in a container it is the host's business",
        )
    elif state >= 0:
        yield ok("clock.here", "the kernel says that this machine's clock is synchronised")


def _adjtimex() -> int:
    """The clock's state; -1 where it cannot be asked for."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "adjtimex"):
        return -1
    buffer = ctypes.create_string_buffer(512)  # struct timex with modes 0: only read
    return int(libc.adjtimex(buffer))


def listeners_of(
    metrics_address: str, metrics_ports: Mapping[str, int], console: tuple[str, int] | None
) -> list[Listener]:
    """Ports that the configured parts listen on; 0 is none."""
    found = [
        Listener(part, metrics_address, port, f"{part}.metrics_port")
        for part, port in metrics_ports.items()
        if port
    ]
    if console is not None and console[1]:
        found.append(Listener("console", *console, CONSOLE_PORT))
    return found
