"""What the requests say: labels, ends, signatures, text that stays text."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.alertmanager import Alertmanager, alert_name
from alerts.channel import fault_url, rfc3339
from alerts.endings import REPEATED_FOR_S, Endings
from alerts.fault import KINDS
from alerts.message import Message, firing, forgotten, resolved
from alerts.places import Place, Places
from alerts.settings import OWN_LABELS, ReceiverSettings
from alerts.slack import TEXT_MAX, Slack, escaped
from alerts.webhook import Webhook, signature
from fabric.builtin import builtin_fabric
from tests.alerts.events import T0_US, fault
from tests.docs.pages import page

DEMO = Places(builtin_fabric("demo"))
NOW_US = T0_US + 60_000_000
ALERTMANAGER = Alertmanager("http://am:9093/", DEMO, "https://console/", {"team": "net"})
WEBHOOK = Webhook("http://hook", "a secret of some length", "demo", "https://console")
SLACK = Slack("http://chat", "demo", "https://console")


def posted(*messages: Message) -> list[dict[str, Any]]:
    request = ALERTMANAGER.request(messages, NOW_US)
    assert request.url == "http://am:9093/api/v2/alerts"
    assert request.headers["Content-Type"] == "application/json"
    alerts: list[dict[str, Any]] = json.loads(request.body)
    return alerts


def test_labels_route_and_annotations_tell() -> None:
    each = fault(element="spine-1~leaf-1-1")
    (alert,) = posted(firing(each, 0, ALERTMANAGER.identity(each), None))
    assert alert["labels"] == {
        "alertname": "ByteTrackerNetworkLoss",
        "fabric": "demo",
        "fault_id": "f1",
        "kind": "network_loss",
        "severity": "critical",
        "element": "spine-1~leaf-1-1",
        "switch": "spine-1",
        "tier": "spine",
        "pod": "pod-1",
        "team": "net",
    }
    assert alert["generatorURL"] == "https://console/#/faults/f1"
    assert alert["startsAt"] == "2025-10-09T08:53:20.000000Z"
    assert "endsAt" not in alert, "it would expire by our clock, not by Alertmanager's"
    assert alert["annotations"]["loss_rate"] == "0.3 (0.21 to 0.4)"
    assert alert["annotations"]["probes"] == "7 of 23"
    assert all(isinstance(value, str) and value for value in alert["annotations"].values())


def test_numbers_that_change_do_not_change_the_labels() -> None:
    before = ALERTMANAGER.identity(fault())
    after = ALERTMANAGER.identity(fault(version=2, state="updated", probes_bad=900, loss_rate=0.9, flaps=2))
    assert before == after


def test_an_end_is_never_before_its_beginning_nor_in_the_future() -> None:
    each = fault()
    told = firing(each, 0, ALERTMANAGER.identity(each), None).told()
    for last_seen_us in (0, T0_US + 5, NOW_US + 10**9):
        over = fault(version=2, state="resolved", last_seen_us=last_seen_us)
        (alert,) = posted(resolved(over, 1, "resolved", told))
        assert alert["startsAt"] <= alert["endsAt"] <= rfc3339(NOW_US)
        assert alert["labels"] == dict(told.identity)
        assert alert["annotations"]["ended_because"] == "resolved"


def test_new_labels_end_the_alert_under_the_old_ones() -> None:
    mild, severe = fault(severity="warning"), fault(version=2, state="updated")
    told = firing(mild, 0, ALERTMANAGER.identity(mild), None).told()
    before, after = posted(firing(severe, 1, ALERTMANAGER.identity(severe), told))
    assert before["labels"]["severity"] == "warning"
    assert before["endsAt"] == rfc3339(NOW_US)
    assert after["labels"]["severity"] == "critical"
    assert "endsAt" not in after


def test_a_fault_of_which_nothing_is_known_can_be_ended() -> None:
    each = fault()
    told = firing(each, 0, ALERTMANAGER.identity(each), None).told()
    (alert,) = posted(forgotten(told))
    assert alert["labels"] == dict(told.identity)
    assert "endsAt" in alert
    WEBHOOK.request([forgotten(told)], NOW_US)
    SLACK.request([forgotten(told)], NOW_US)


@pytest.mark.parametrize(
    ("element", "place"),
    [
        ("spine-1", Place("spine-1", "spine")),
        ("tor-1-1", Place("tor-1-1", "tor", "pod-1")),
        ("tor-1-1~leaf-1-1", Place("tor-1-1", "tor", "pod-1")),
        ("server-1-1-1", Place("tor-1-1", "server", "pod-1")),
        ("prober-1", Place("border-1", "prober")),
        ("server-1-1-1~tor-1-1", Place("tor-1-1", "tor", "pod-1")),
        ("no such thing", Place()),
        ("", Place()),
    ],
)
def test_places(element: str, place: Place) -> None:
    found = DEMO.of(element)
    if element == "prober-1":
        place = Place(builtin_fabric("demo").prober_by_name["prober-1"].switch, "prober", found.pod)
    assert found == place


def test_kinds_are_those_of_the_localiser() -> None:
    from typing import get_args

    from streams.localise.finding import Kind

    assert set(KINDS) == set(get_args(Kind))
    assert len({alert_name(kind) for kind in KINDS}) == len(KINDS)


def test_ends_are_repeated_for_a_while_unless_it_comes_back() -> None:
    each = fault()
    begun = firing(each, 0, ALERTMANAGER.identity(each), None)
    ended = resolved(fault(version=2, state="resolved"), 1, "resolved", begun.told())
    endings = Endings()
    endings.note(begun, 0.0)
    assert endings.current(0.0) == []
    endings.note(ended, 0.0)
    assert endings.current(REPEATED_FOR_S - 1) == [ended]
    assert endings.current(REPEATED_FOR_S) == []
    endings.note(ended, 0.0)
    endings.note(begun, 1.0)  # it came back: its end must not be said again
    assert endings.current(2.0) == []
    severe = fault(version=3, state="updated", severity="warning")
    endings.note(firing(severe, 2, ALERTMANAGER.identity(severe), begun.told()), 3.0)
    (end,) = endings.current(4.0)
    assert not end.firing
    assert end.identity == begun.identity


# -- webhook -----------------------------------------------------------------------------------------


def verifier() -> Any:
    """The function that the documentation shows."""
    (code,) = [block for block in page("docs/alerts.md").code("python") if "def is_ours" in block]
    assert len(code.strip().splitlines()) <= 10
    names: dict[str, Any] = {}
    exec(code, names)
    return names["is_ours"], names["time"]


def test_the_documented_verifier_takes_ours_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    is_ours, time = verifier()
    monkeypatch.setattr(time, "time", lambda: NOW_US / 1e6 + 3)
    request = WEBHOOK.request([firing(fault(), 0, {}, None)], NOW_US)
    headers, body = dict(request.headers), request.body
    assert is_ours(WEBHOOK.secret, headers, body)
    assert not is_ours("another secret entirely", headers, body)
    assert not is_ours(WEBHOOK.secret, headers, body.replace(b"critical", b"info"))
    assert not is_ours(WEBHOOK.secret, {}, body)
    later = {**headers, "X-ByteTracker-Timestamp": str(NOW_US // 1_000_000 + 1)}
    assert not is_ours(WEBHOOK.secret, later, body)
    monkeypatch.setattr(time, "time", lambda: NOW_US / 1e6 + 301)
    assert not is_ours(WEBHOOK.secret, headers, body), "recorded, and sent again later"


@settings(deadline=None)
@given(st.binary(max_size=200), st.text("abcXYZ019-_", min_size=16, max_size=40))
def test_signatures_differ_with_every_byte(body: bytes, secret: str) -> None:
    assert signature(secret, "1760000000", body) != signature(secret, "1760000000", body + b"x")
    assert signature(secret, "1760000000", body) != signature(secret, "176000000", b"0" + body)


def test_what_a_webhook_gets() -> None:
    each = fault(loss_rate=float("nan"))
    document = json.loads(WEBHOOK.request([firing(each, 0, {}, None)], NOW_US).body)
    assert document["status"] == "firing"
    assert document["delivery_id"] == "f1-1-firing"
    assert document["url"] == "https://console/#/faults/f1"
    assert document["fault"]["loss_rate"] is None
    assert document["fault"]["example_probes"][0]["probe_id"] == "4294967913"
    assert set(document["fault"]) == set(each.event)


def test_secrets_are_in_no_repr() -> None:
    settings = ReceiverSettings(
        "pager", "webhook", "https://hook/very-secret", secret="very-secret-key!", bearer_token="very-secret"
    )
    request = WEBHOOK.request([firing(fault(), 0, {}, None)], NOW_US)
    for each in (settings, WEBHOOK, SLACK, ALERTMANAGER, request):
        text = repr(each)
        assert "very-secret" not in text
        assert "http" not in text.replace("https://console", "")
        assert "a secret" not in text


# -- Slack --------------------------------------------------------------------------------------------

HOSTILE = "<!channel> *bold* `code` [x](http://evil) @here \u202e & <http://evil|click> \x1b[31m"


def test_hostile_names_stay_text() -> None:
    each = fault(element=HOSTILE, story=HOSTILE, kind="loop")
    document = json.loads(SLACK.request([firing(each, 0, {}, None)], NOW_US).body)
    assert document["parse"] == "none"
    attachment = document["attachments"][0]
    said = [document["text"], attachment["fallback"], attachment["text"], attachment["footer"]]
    said += [field["value"] for field in attachment["fields"]]
    for text in said:
        assert not re.search(r"[<>]|@\w|\]\(|http://|[\x00-\x1f\u202e]|&(?!amp;|lt;|gt;)", text), text


@settings(deadline=None)
@given(st.text(max_size=3_000))
def test_escaped_text_is_bounded_and_can_be_read_back(text: str) -> None:
    shown = escaped(text)
    assert not re.search(r"[<>]|[\x00-\x1f]|&(?!amp;|lt;|gt;)", shown)
    plain = shown.replace("\u200b", "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert len(plain) <= TEXT_MAX
    if len(text) < TEXT_MAX and text.isprintable() and "\u200b" not in text:
        assert plain == text


def test_names_can_be_copied_from_a_message() -> None:
    for name in ("spine-1~leaf-1-2", "tor_1:Ethernet1", "spine-1/lc-1>lc-2"):
        assert escaped(name).replace("&gt;", ">") == name


def test_what_slack_gets() -> None:
    each = fault()
    document = json.loads(SLACK.request([firing(each, 0, {}, None)], NOW_US).body)
    assert document["text"] == "[critical] Network loss at spine-1~leaf-1-2"
    assert document["attachments"][0]["title_link"] == "https://console/#/faults/f1"
    told = firing(each, 0, SLACK.identity(each), None).told()
    over = fault(version=2, state="resolved", part_of="f9")
    document = json.loads(SLACK.request([resolved(over, 1, "part_of", told)], NOW_US).body)
    assert document["text"] == "[resolved (part of another fault)] Network loss at spine-1~leaf-1-2"


# -- settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Chat"}, "lower-case"),
        ({"name": "a__b"}, "lower-case"),
        ({"url": "ftp://x"}, "http:// or https://"),
        ({"url": "http://user:word@host"}, "must not hold a password"),
        ({"kind": "webhook", "secret": "short"}, "BYTETRACKER_ALERTS__RECEIVERS__CHAT__SECRET"),
        ({"kinds": frozenset({"lop"})}, "did you mean loop"),
        ({"labels": {"fault_id": "x"}}, "labels holds"),
        ({"labels": {"a-b": "x"}}, "labels holds"),
        ({"username": "a", "bearer_token": "b"}, "not both"),
        ({"backoff_max_s": 0.5}, "less than backoff_min_s"),
        ({"deadline_s": 0}, "above 0"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        ReceiverSettings(**{"name": "chat", "kind": "slack", "url": "https://host/very-secret", **changes})
    assert "very-secret" not in str(raised.value)


def test_own_labels_are_those_that_are_set() -> None:
    each = fault()
    assert set(ALERTMANAGER.identity(each)) - {"team"} <= OWN_LABELS


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_any_time_can_be_told(time_us: int) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", rfc3339(time_us))


def test_fault_ids_do_not_leave_their_place_in_a_url() -> None:
    assert fault_url("http://c/", "a/b?c#d") == "http://c/#/faults/a%2Fb%3Fc%23d"
    assert fault_url("", "a") == ""
