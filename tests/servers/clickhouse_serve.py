"""Serve ClickHouse from the shared library libchdb.so, in this process, until standard input closes.

Started as ``python -I -S clickhouse_serve.py LIBRARY OPTION...``; the options are those of
``clickhouse local``. The library holds the whole server, but its command line starts no listeners by
itself: the queries below start them, and the last one keeps the process busy reading its input.
"""

import ctypes
import sys

_SERVE = (
    "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT count() FROM file('/dev/stdin', LineAsString)"
)


def main(library: str, options: list[str]) -> None:
    """Run the command line inside ``library``; returns when the input has closed."""
    run = ctypes.CDLL(library).chdb_query_cmdline
    run.restype = ctypes.c_void_p
    words = [b"clickhouse", *(option.encode() for option in options), b"--query", _SERVE.encode()]
    run(len(words), (ctypes.c_char_p * len(words))(*words))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
