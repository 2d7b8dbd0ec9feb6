"""Fault specifications: read as written, refused with what is known."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.builtin import builtin_fabric
from fabric.faults import KINDS, FaultError, parse_spec

FABRIC = builtin_fabric("demo")


def test_everything_is_read():
    spec = parse_spec("loss:tor-1-1~leaf-1-2:rate=0.3,after=20,for=10.5", FABRIC)
    assert (spec.kind, spec.element) == ("loss", "tor-1-1~leaf-1-2")
    assert dict(spec.params) == {"rate": 0.3}
    assert (spec.after_s, spec.for_s) == (20, 10.5)


@pytest.mark.parametrize(
    "text",
    [
        "loss:spine-1:rate=1e-3",
        "loss:spine-1/fc-1:rate=1",
        "loss:server-1-1-1~tor-1-1:rate=0.5",
        "link_down:spine-1~border-2",
        "link_down:spine-1~border-2:for=3",
        "flip:spine-1/lc-2:rate=0.1,offset=100,mask=0x80",
        "host_down:server-1-1-1:after=1",
        "mirror_loss:leaf-1-1:rate=0.5",
        "loss:spine-1/lc-1>lc-2:rate=0.1",
        "loss:leaf-1-1~spine-1:rate=0.1,min_bytes=500,max_bytes=600",
        "black_hole:leaf-1-1:share=0.1",
        "switch_down:spine-1",
        "flip:tor-1-1:rate=1,offset=100,mask=1,stuck=0",
        "loop:leaf-1-1~spine-1",
        "wrong_route:spine-1~leaf-1-1:share=0.5",
        "host_slow:server-1-1-1:delay_ms=700",
        "rst_limit:server-1-1-1:rate=0",
        "reboot:server-1-1-1:for=60",
        "reboot:spine-1:for=60,after=2",
        "mirror_outage:spine-1",
        "mirror_outage:collector-1",
        "mirror_truncate:spine-1:bytes=128",
        "mirror_corrupt:spine-1:rate=0.1",
        "prober_outage:prober-1:for=5",
        "clock_skew:prober-2:ms=-250.5",
        "clock_skew:collector-1:ms=999",
        "clock_skew:spine-1:ms=10",
    ],
)
def test_each_kind_has_its_elements_and_keys(text):
    spec = parse_spec(text, FABRIC)
    assert spec.text == text
    assert spec.kind in KINDS


@pytest.mark.parametrize("settings", ["", ":", ":for=3", ":after=1,for=3"])
def test_a_port_may_hold_the_colon_that_settings_begin_with(settings):
    spec = parse_spec(f"link_down:leaf-1-1:Ethernet3{settings}", FABRIC)
    assert spec.element == "leaf-1-1:Ethernet3"
    assert FABRIC.element(spec.element).port.number == 3
    assert spec.for_s == (3 if "for" in settings else None)


def test_the_examples_above_show_every_kind():
    examples = test_each_kind_has_its_elements_and_keys.pytestmark[0].args[1]
    assert {text.partition(":")[0] for text in examples} == set(KINDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "known: loss, black_hole, link_down, switch_down, flip, "),
        ("lose:spine-1:rate=1", "unknown kind 'lose'; known: loss"),
        ("loss", "no element"),
        ("loss::rate=1", "no element"),
        ("loss:spine-99:rate=1", "did you mean spine-"),
        ("loss:spine-99:rate=1", "bytetracker fabric show"),
        ("loss:tor-1-1~leaf-2-1:rate=1", "tor-1-1~leaf-1-1"),
        ("loss:server-1-1-1:rate=1", "takes a directed link A~B or a chip S/C or a switch"),
        ("host_down:spine-1", "'spine-1' is a switch"),
        ("link_down:spine-1", "takes a directed link"),
        ("loss:spine-1", "loss needs rate="),
        ("loss:spine-1:rate=0", "rate must be a number from 1e-09 to 1"),
        ("loss:spine-1:rate=nan", "rate must be"),
        ("loss:spine-1:rate=30%", "rate must be"),
        ("loss:spine-1:rate=1,rate=1", "once"),
        ("loss:spine-1:rate", "write rate=VALUE"),
        ("loss:spine-1:rate=1,", "unknown key ''"),
        ("loss:spine-1:rate=1,mask=1", "unknown key 'mask'; known: rate, min_bytes, max_bytes, after, for"),
        ("loss:spine-1:rate=1,min_bytes=9,max_bytes=8", "no packet is"),
        ("loss:spine-1:Ethernet99:rate=1", "spine-1 has Ethernet1"),
        ("loss:spine-1:Ethernet1", "loss needs rate="),
        ("loss:spine-1/fc-1>lc-1:rate=1", "owns no ports"),
        ("loss:spine-1/lc-1>lc-7:rate=1", "no chip 'spine-1/lc-7'"),
        ("black_hole:spine-1", "needs share= (share of five-tuples"),
        ("reboot:spine-1", "reboot needs for="),
        ("loop:prober-1~border-1", "needs two switches; 'prober-1' is none"),
        ("mirror_outage:prober-1", "takes a switch or a collector; 'prober-1' is a prober"),
        ("clock_skew:prober-1:ms=1000", "ms must be a number from -999 to 999"),
        ("flip:spine-1:rate=1,stuck=2", "stuck must be"),
        ("loss:spine-1:rate=1,after=-1", "after must be"),
        ("loss:spine-1:rate=1,for=0", "for must be"),
        ("flip:spine-1:rate=1,mask=0", "mask must be an integer from 1 to 255"),
        ("flip:spine-1:rate=1,offset=2.5", "offset must be an integer"),
    ],
)
def test_what_means_nothing_is_refused(text, message):
    with pytest.raises(FaultError) as refused:
        parse_spec(text, FABRIC)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.text(alphabet="losflip:~>/=,.0123456789-tr aeé\n", max_size=40))
def test_any_text_is_read_or_refused(text):
    with suppress(FaultError):
        parse_spec(text, FABRIC)
