"""What a switch puts in front of a mirrored frame: GRE and, by dialect, an ERSPAN header.

    dialect   GRE                          behind it
    1         0x88BE, no sequence          the frame
    2         0x88BE, sequence             8 bytes: version 1, VLAN, session, index
    3         0x22EB, sequence             12 bytes: version 2, VLAN, session, timestamp, hardware ID
    "teb"     0x6558, key and sequence     the frame

Sources: RFC 2784 and RFC 2890 (GRE), draft-foschiano-erspan-03 (types I to III).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fabric.model import Dialect, PortField

_SEQUENCE_PRESENT = 0x1000
_KEY_PRESENT = 0x2000
_ERSPAN_1_2, _ERSPAN_3, _BRIDGED_ETHERNET = 0x88BE, 0x22EB, 0x6558
_VLAN_TAG_PRESERVED = 3  # the field En of type II
_GRANULARITY_100_US = 0
TIMESTAMP_UNIT_NS = 100_000
_FIRST_INTERNAL_VLAN = 1006  # switches number their routed ports from here


@dataclass(frozen=True, slots=True)
class MirrorHeader:
    """A header that is the same in every copy from one port, but for the fields at these offsets."""

    template: bytes
    sequence_at: int | None  # u32, big-endian, counts per session
    timestamp_at: int | None  # u32, big-endian, in TIMESTAMP_UNIT_NS
    session: int | None


def mirror_header(dialect: Dialect, port_field: PortField, switch_number: int, port: int) -> MirrorHeader:
    """The header of copies taken at a port. port: 1..1023, where the dialect can carry it in `port_field`."""
    vlan = _FIRST_INTERNAL_VLAN + port
    session = (port if port_field == "session" else switch_number) & 0x3FF
    if dialect == 1:
        return MirrorHeader(struct.pack(">HH", 0, _ERSPAN_1_2), None, None, None)
    if dialect == 2:
        index = port if port_field == "index" else 0
        gre = struct.pack(">HHI", _SEQUENCE_PRESENT, _ERSPAN_1_2, 0)
        erspan = struct.pack(">HHI", 1 << 12 | vlan, _VLAN_TAG_PRESERVED << 11 | session, index)
        return MirrorHeader(gre + erspan, 4, None, session)
    if dialect == 3:
        hardware_id = port & 0x3F if port_field == "hardware_id" else 0
        gre = struct.pack(">HHI", _SEQUENCE_PRESENT, _ERSPAN_3, 0)
        last = hardware_id << 4 | _GRANULARITY_100_US << 1
        erspan = struct.pack(">HHIHH", 2 << 12 | vlan, session, 0, 0, last)
        return MirrorHeader(gre + erspan, 4, len(gre) + 4, session)
    key = port if port_field == "key" else 0
    gre = struct.pack(">HHII", _KEY_PRESENT | _SEQUENCE_PRESENT, _BRIDGED_ETHERNET, key, 0)
    return MirrorHeader(gre, 8, None, None)
