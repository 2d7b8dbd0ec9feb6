"""Link layers: from the start of a frame to its network layer, past any VLAN tags."""

import numpy as np

from producers.mirror.frames import Bools, Frames, Offsets, settle, some, u16
from producers.packets import I32, LinkType

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
_VLAN_TAGS_MAX = 4

# Where the EtherType stands, and where the network layer starts if no tag follows.
_TYPE_AT_AND_LENGTH = {
    LinkType.ETHERNET: (12, 14),
    LinkType.LINUX_SLL: (14, 16),
    LinkType.LINUX_SLL2: (0, 20),
}


def network_layer(frames: Frames, link_type: LinkType, at: Offsets, rows: Bools) -> tuple[I32, Offsets]:
    """EtherType and start of the network layer of the frames that start at `at`.

    rows: bool[n], the rows that matter. Returns i4[n] and offsets; whether the row is long enough is for
    the caller to check against the offset.
    """
    if link_type is LinkType.RAW_IP:
        version = frames.window(at, 1)[:, 0] >> 4
        return np.choose(version == 6, (ETHERTYPE_IPV4, ETHERTYPE_IPV6)).astype(np.int32), at
    type_at, length = _TYPE_AT_AND_LENGTH[link_type]
    ethertype = u16(frames.window(at, length), type_at)
    at = at + length
    for _ in range(_VLAN_TAGS_MAX):
        # 802.1Q, 802.1ad, and the tag used for stacked VLANs before 802.1ad.
        tagged = rows & ((ethertype == 0x8100) | (ethertype == 0x88A8) | (ethertype == 0x9100))
        if not some(tagged):
            break
        ethertype = np.where(tagged, u16(frames.window(at, 4), 2), ethertype)
        at = settle(np.where(tagged, at + 4, at).astype(np.int32), rows)
    return ethertype, at
