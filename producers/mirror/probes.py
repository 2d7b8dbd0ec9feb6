"""Which mirrored packets are probes or their replies, and of which probe.

The sequence number of a probe carries the lower half of its ID. A closed port answers RST with
ack = seq + 1 + 512, an open one SYN-ACK with ack = seq + 1 (the data of a SYN is not accepted yet).
Source: RFC 9293, section 3.10.7.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from producers.mirror.contents import NO_PROBE_ID
from producers.mirror.decode import Decoded
from producers.mirror.frames import some
from producers.mirror.inventory import ProbeMap
from producers.mirror.transport import TCP_ACK, TCP_RST, TCP_SYN
from producers.packets import I64
from schemas.payload import PAYLOAD_LENGTH
from schemas.rows import Leg


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes among decoded packets."""

    leg: NDArray[np.int8]  # schemas.rows.Leg; -1: no probe
    probe_id: I64  # -1: no probe


def recognise(decoded: Decoded, probes: ProbeMap) -> Probes:
    """Leg and probe ID of each packet by addresses, ports and TCP fields; damaged payloads do not matter."""
    tcp = decoded.transport
    handshake = tcp.tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)
    good = (decoded.errors == 0) & (tcp.tcp_flags >= 0)
    is_probe = good & (handshake == TCP_SYN) & (tcp.destination_port == probes.probe_port)
    is_probe &= decoded.segment_length == PAYLOAD_LENGTH
    is_reset = (handshake & TCP_RST) != 0
    is_reply = good & (tcp.source_port == probes.probe_port) & (is_reset | (handshake == TCP_SYN | TCP_ACK))
    acknowledged = np.where(is_reset, 1 + PAYLOAD_LENGTH, 1)
    seq32 = np.where(is_reply, tcp.tcp_ack - acknowledged, tcp.tcp_seq) & 0xFFFFFFFF
    prober = probes.probers.lookup(decoded.source)
    if some(is_reply):
        prober = np.where(is_reply, probes.probers.lookup(decoded.destination), prober)
    known = (is_probe | is_reply) & (prober >= 0)
    leg = np.where(is_reply, Leg.REPLY, np.where(decoded.encapsulated, Leg.ENCAPSULATED, Leg.PROBE))
    return Probes(
        leg=np.where(known, leg, -1).astype(np.int8),
        probe_id=np.where(known, prober << 32 | seq32, -1),
    )


def written_probe_id(decoded: Decoded) -> I64:
    """The probe ID that the payload of each SYN names, -1 where it names none; needs no inventory."""
    tcp, written = decoded.transport, decoded.contents.written_id
    is_syn = (tcp.tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) == TCP_SYN
    agrees = (decoded.errors == 0) & is_syn & ((written & 0xFFFFFFFF) == tcp.tcp_seq)
    return np.where(agrees, written, NO_PROBE_ID)
