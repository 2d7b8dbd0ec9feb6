"""Run a command that cannot outlive its parent, nor grow without bound.

Started by path as ``python -I -S leash.py PARENT_PID DATA_BYTES_MAX COMMAND...``: it ties itself to its
parent, limits itself and becomes the command. A separate program because doing this between fork and
exec (``preexec_fn``) may deadlock in a parent that has threads. Standard library only.
"""

import ctypes
import os
import resource
import signal
import sys

# From linux/prctl.h: the signal that this process gets when its parent dies.
PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process by ``arguments[2:]``; 0 as DATA_BYTES_MAX means no limit."""
    parent_pid, data_bytes_max, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    if sys.platform == "linux":
        # Elsewhere there is no such call; there the parent's own clean-up is all there is.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        # The parent may have died before prctl took effect: then nobody would ever send the signal.
        if os.getppid() != parent_pid:
            sys.exit("leash: the parent is gone")
        if data_bytes_max:
            # RLIMIT_DATA counts private writable memory, so reserved but untouched address space of
            # memory-mapped files stays free. The command sees a failed allocation and aborts.
            resource.setrlimit(resource.RLIMIT_DATA, (data_bytes_max, data_bytes_max))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
