"""Do something inside a network namespace while the process itself stays where it is.

Linux keeps the network namespace per *thread*, and a socket belongs for ever to the namespace it was opened
in. So a short-lived thread enters, opens the socket and ends: the process keeps its own network (the broker
on loopback), and no other thread is ever in the wrong place.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

NAMESPACE_DIRECTORY = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


def namespace_path(namespace: str) -> Path:
    """Where a namespace is mounted: a plain name as `ip netns` knows it, or already a path."""
    return NAMESPACE_DIRECTORY / namespace  # an absolute right side wins


def enter_namespace(namespace: str) -> None:
    """Move the *calling thread* into a namespace, for good. Raises OSError without root or namespace."""
    descriptor = os.open(namespace_path(namespace), os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter network namespace {namespace}: {os.strerror(number)}")
    finally:
        os.close(descriptor)


def open_in_namespace(namespace: str, factory: Callable[[], T]) -> T:
    """What `factory()` returns when called inside the namespace; what it raises is raised here.

    The usual factory opens a socket. Blocks until the factory returns.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def inside() -> None:
        try:
            enter_namespace(namespace)
            results.append(factory())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=inside, name=f"in {namespace}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def run_in_namespace(
    namespace: str, command: Sequence[str], stdin: str = "", timeout_s: float = 10.0
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end inside the namespace; its output is captured as text.

    Raises CalledProcessError on a non-zero exit, TimeoutExpired after timeout_s.
    """
    return open_in_namespace(
        namespace,
        lambda: subprocess.run(
            command, input=stdin, text=True, capture_output=True, check=True, timeout=timeout_s
        ),
    )


def start_in_namespace(namespace: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a long-lived command inside the namespace; the caller ends it."""
    return open_in_namespace(namespace, lambda: subprocess.Popen(command))
