"""One contract over all sources of packets, and what is special about capture files and live rings."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from mirror_frames import Wrap, rst, syn
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter, PcapWriter

from producers.packets import LinkType, PacketBatch
from producers.sources.capture import CaptureSource
from producers.sources.records import CaptureError
from producers.sources.ring import GRE_ONLY, RingOptions, RingSource
from producers.sources.source import EndOfPackets, MemorySource, PacketSource

FRAMES = [Wrap(("II", "III")[n % 2]).frame((syn, rst)[n % 3 == 0](4, n)) for n in range(40)]
CLONE_NEWNET = 0x40000000

Opened = tuple[PacketSource, bool]  # the source with FRAMES waiting in it, and whether it ends


def drained(source: PacketSource, rows_max: int = 8_192) -> Iterator[PacketBatch]:
    """All batches until the source ends or has nothing more for now."""
    while True:
        try:
            batch = source.next_batch(rows_max)
        except EndOfPackets:
            return
        if batch is None:
            return
        yield batch


def packets_of(batches: Iterator[PacketBatch] | list[PacketBatch]) -> list[bytes]:
    return [batch.packet(row) for batch in batches for row in range(len(batch))]


@pytest.fixture
def loopback() -> Iterator[str]:
    """The loopback interface of a network namespace of its own, in which the test then runs."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            pytest.fail(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            # SIOCSIFFLAGS: up, running, loopback
            fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x8 | 0x40))
        yield "lo"
    finally:
        libc.setns(before, CLONE_NEWNET)
        os.close(before)


def send(interface: str, frames: list[bytes]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((interface, 0))
        for frame in frames:
            sender.send(frame)


def open_memory(_: pytest.FixtureRequest) -> Opened:
    return MemorySource([PacketBatch.of(FRAMES[:7]), PacketBatch.of([]), PacketBatch.of(FRAMES[7:])]), True


def open_capture(request: pytest.FixtureRequest) -> Opened:
    path = request.getfixturevalue("tmp_path") / "frames.pcap"
    with PcapWriter(str(path), linktype=1) as writer:
        for frame in FRAMES:
            writer.write(frame)
    return CaptureSource(path), True


def open_ring(request: pytest.FixtureRequest) -> Opened:
    source = RingSource(request.getfixturevalue("loopback"), RingOptions(frames=512))
    send("lo", FRAMES)
    return source, False


@pytest.fixture(
    params=[open_memory, open_capture, pytest.param(open_ring, marks=pytest.mark.root)],
    ids=["memory", "capture", "ring"],
)
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    opener: Callable[[pytest.FixtureRequest], Opened] = request.param
    source, ends = opener(request)
    yield source, ends
    source.close()


class TestContract:
    """What every source promises."""

    def test_gives_all_packets_in_order(self, opened: Opened) -> None:
        assert packets_of(drained(opened[0])) == FRAMES

    @pytest.mark.parametrize("rows_max", [1, 3, 40])
    def test_never_gives_more_than_asked_for_and_never_nothing(self, opened: Opened, rows_max: int) -> None:
        batches = list(drained(opened[0], rows_max))
        assert all(1 <= len(batch) <= rows_max for batch in batches)
        assert packets_of(batches) == FRAMES

    def test_batches_have_the_documented_columns(self, opened: Opened) -> None:
        for batch in drained(opened[0]):
            rows = len(batch)
            assert batch.data.dtype == np.uint8
            assert batch.data.flags.c_contiguous
            assert batch.data.shape[0] == rows
            assert batch.data.shape[1] >= batch.lengths.max()
            assert (batch.lengths.dtype, batch.wire_lengths.dtype) == (np.int32, np.int32)
            assert batch.received_us.dtype == np.int64
            assert (batch.wire_lengths >= batch.lengths).all()
            assert (np.diff(batch.received_us) >= 0).all()

    def test_a_batch_stays_as_it_is_while_the_source_goes_on(self, opened: Opened) -> None:
        first = opened[0].next_batch(5)
        assert first is not None
        kept = packets_of([first])
        rest = packets_of(drained(opened[0], 4))
        assert packets_of([first]) == kept
        assert kept + rest == FRAMES

    def test_ends_or_waits_when_there_is_no_more(self, opened: Opened) -> None:
        source, ends = opened
        list(drained(source))
        if ends:
            for _ in range(2):
                with pytest.raises(EndOfPackets):
                    source.next_batch(timeout_s=0.05)
        else:
            before = time.monotonic()
            assert source.next_batch(timeout_s=0.05) is None
            assert 0.04 < time.monotonic() - before < 2

    def test_loses_nothing_unsaid_and_closes_twice(self, opened: Opened) -> None:
        source = opened[0]
        list(drained(source))
        assert source.lost() == 0
        source.close()
        source.close()


# pcap and pcapng


def pcap(order: str, magic: int, packets: list[bytes], link: int = 1, units: int = 10**6) -> bytes:
    data = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for n, packet in enumerate(packets):
        data += struct.pack(f"{order}IIII", 1_700_000_000 + n, 123_456 * (units // 10**6), len(packet), 9_999)
        data += packet
    return data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "units"), [(0xA1B2C3D4, 10**6), (0xA1B23C4D, 10**9)])
def test_pcap_of_both_byte_orders_and_resolutions(tmp_path: Path, order: str, magic: int, units: int) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(order, magic, FRAMES[:3], units=units))
    (batch,) = drained(CaptureSource(path))
    assert packets_of([batch]) == FRAMES[:3]
    assert batch.received_us.tolist() == [(1_700_000_000 + n) * 10**6 + 123_456 for n in range(3)]
    assert batch.wire_lengths.tolist() == [9_999] * 3


@pytest.mark.parametrize(
    ("number", "link_type"),
    [(1, LinkType.ETHERNET), (101, LinkType.RAW_IP), (228, LinkType.RAW_IP), (113, LinkType.LINUX_SLL),
     (276, LinkType.LINUX_SLL2), (1 | 4 << 28 | 1 << 26, LinkType.ETHERNET)],
)  # fmt: skip
def test_link_types(tmp_path: Path, number: int, link_type: LinkType) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap("<", 0xA1B2C3D4, FRAMES[:1], link=number))
    assert [batch.link_type for batch in drained(CaptureSource(path))] == [link_type]


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(f"{order}II", kind, len(body) + 12) + body + struct.pack(f"{order}I", len(body) + 12)


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_with_several_interfaces_and_clocks(tmp_path: Path, order: str) -> None:
    section = block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    nanoseconds = option(order, 9, b"\x09") + option(order, 0, b"")
    binary = option(order, 9, bytes([0x80 | 10])) + option(order, 14, struct.pack(f"{order}q", 1_000))
    interfaces = [
        block(order, 1, struct.pack(f"{order}HHI", 1, 0, 0)),
        block(order, 1, struct.pack(f"{order}HHI", 1, 0, 0) + nanoseconds),
        block(order, 1, struct.pack(f"{order}HHI", 101, 0, 0) + binary),
    ]

    def packet(interface: int, ticks: int, data: bytes, kind: int = 6) -> bytes:
        layout = "IIIII" if kind == 6 else "HHIIII"
        head = (interface,) if kind == 6 else (interface, 7)
        fields = (*head, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data) + 5)
        return block(order, kind, struct.pack(f"{order}{layout}", *fields) + data)

    data = section + b"".join(interfaces)
    data += packet(0, 1_700_000_000_000_001, FRAMES[0])
    data += block(order, 0x0BAD, b"unknown blocks are skipped")
    data += packet(1, 1_700_000_000_000_002_999, FRAMES[1])
    data += packet(2, 3 << 10 | 512, FRAMES[2][14:])
    data += packet(0, 5, FRAMES[3], kind=2)
    data += block(order, 3, struct.pack(f"{order}I", len(FRAMES[4])) + FRAMES[4])
    data += section + interfaces[2] + packet(0, 0, FRAMES[5][14:])
    path = tmp_path / "x.pcapng"
    path.write_bytes(data)
    batches = list(drained(CaptureSource(path)))
    assert packets_of(batches) == [FRAMES[0], FRAMES[1], FRAMES[2][14:], FRAMES[3], FRAMES[4], FRAMES[5][14:]]
    times = [time_us for batch in batches for time_us in batch.received_us.tolist()]
    first = 1_700_000_000_000_001
    assert times == [first, first + 1, 1_003_500_000, 5, 0, 1_000_000_000]
    assert [int(batch.link_type) for batch in batches] == [1, 101, 1, 101]


def test_pcapng_as_scapy_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    with PcapNgWriter(str(path)) as writer:
        for frame in FRAMES:
            writer.write(Ether(frame))
    assert packets_of(drained(CaptureSource(path))) == FRAMES


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"no capture at all", b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a"]
)
def test_what_is_no_capture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(CaptureError):
        list(drained(CaptureSource(path)))


def test_an_unknown_link_layer_is_refused_by_number(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap("<", 0xA1B2C3D4, [], link=147))
    with pytest.raises(CaptureError, match="147"):
        CaptureSource(path)


@pytest.mark.parametrize("kept", [1, 10, 16, 17, 100])
def test_packets_before_the_damage_are_given_and_then_it_is_named(tmp_path: Path, kept: int) -> None:
    whole = pcap("<", 0xA1B2C3D4, FRAMES[:3])
    path = tmp_path / "x.pcap"
    path.write_bytes(whole + struct.pack("<IIII", 1, 2, 300, 300)[:16] + bytes(kept) if kept > 16 else
                     whole + struct.pack("<IIII", 1, 2, 300, 300)[:kept])  # fmt: skip
    source = CaptureSource(path)
    first = source.next_batch()
    assert first is not None
    assert packets_of([first]) == FRAMES[:3]
    with pytest.raises(CaptureError, match=f"byte {len(whole)}"):
        source.next_batch()


def test_a_huge_packet_does_not_make_every_row_huge(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    packets = [*FRAMES * 20, bytes(250_000), *FRAMES * 20]
    path.write_bytes(pcap("<", 0xA1B2C3D4, packets))
    batches = list(drained(CaptureSource(path)))
    assert packets_of(batches) == packets
    assert max(batch.data.nbytes for batch in batches) <= 16 * 1024 * 1024


# The live ring


@pytest.mark.root
def test_ring_stamps_packets_with_the_kernels_clock(loopback: str) -> None:
    source = RingSource(loopback, RingOptions(frames=512))
    before_us = time.time_ns() // 1000
    send(loopback, FRAMES)
    batch = source.next_batch(timeout_s=1)
    after_us = time.time_ns() // 1000
    assert batch is not None
    assert before_us - 5_000 <= batch.received_us[0] <= batch.received_us[-1] <= after_us + 5_000
    source.close()


@pytest.mark.root
def test_ring_goes_round_and_counts_what_it_could_not_hold(loopback: str) -> None:
    source = RingSource(loopback, RingOptions(frames=512, frame_bytes=2_048))
    for _ in range(60):  # 2,400 packets through 512 frames
        send(loopback, FRAMES)
        assert packets_of(drained(source)) == FRAMES
    assert source.lost() == 0
    send(loopback, FRAMES * 20)
    held = len(packets_of(drained(source)))
    assert 512 <= held < 800
    assert held + source.lost() == 800
    source.close()
    assert held + source.lost() == 800


@pytest.mark.root
def test_ring_cuts_what_does_not_fit_a_frame(loopback: str) -> None:
    source = RingSource(loopback, RingOptions(frames=512, frame_bytes=256))
    send(loopback, FRAMES[1:2])
    batch = source.next_batch(timeout_s=1)
    assert batch is not None
    assert batch.lengths[0] < batch.wire_lengths[0] == len(FRAMES[1])
    assert packets_of([batch]) == [FRAMES[1][: batch.lengths[0]]]
    source.close()


@pytest.mark.root
def test_filter_lets_only_gre_in(loopback: str) -> None:
    source = RingSource(loopback, RingOptions(frames=512, packet_filter=GRE_ONLY))
    with_v6 = Wrap(outer=6).frame(syn(4))
    send(loopback, [bytes(Ether() / syn(4)), FRAMES[0], bytes(60), with_v6])
    assert packets_of(drained(source)) == [FRAMES[0], with_v6]
    source.close()


@pytest.mark.root
def test_a_fanout_group_shares_packets_and_keeps_flows_together(loopback: str) -> None:
    sources = [RingSource(loopback, RingOptions(frames=512, fanout_group=77)) for _ in range(2)]
    flows = [Wrap("II", exporter=f"192.0.2.{n}").frame(syn(4)) for n in range(1, 60)]
    send(loopback, flows * 3)
    received = [packets_of(drained(source)) for source in sources]
    assert sorted(received[0] + received[1]) == sorted(flows * 3)
    assert all(received)
    assert not set(received[0]) & set(received[1])
    for source in sources:
        source.close()


@pytest.mark.root
def test_an_interface_that_is_not_there_is_an_error(loopback: str) -> None:
    with pytest.raises(OSError, match=r"."):
        RingSource("nosuch0")


@pytest.mark.parametrize(
    "options",
    [
        {"frame_bytes": 1_001},
        {"frame_bytes": 128},
        {"frame_bytes": 1 << 20},
        {"frames": 0},
        {"fanout_group": 1 << 16},
    ],
)
def test_contradictory_ring_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        RingOptions(**options)  # type: ignore[arg-type]
