"""From the topic to real receivers: a webhook, Slack's, and Alertmanager itself."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions
from schemas import topics
from tests.alerts.events import event
from tests.alerts.hooks import Hook, HookServer, until
from tests.alerts.rig import SECRET, Faults, Process, alerting, receivers
from tests.alerts.test_channels import verifier
from tests.servers.alertmanager_server import Alertmanager
from tests.servers.kafka_server import ApacheKafka
from tests.servers.proxy import CuttableProxy

pytestmark = pytest.mark.servers

IS_OURS, _ = verifier()
OUTAGE_S = 60.0


@pytest.fixture
def faults(tmp_path: Path) -> Iterator[Faults]:
    """Topics of the test's own."""
    with EmbeddedBroker(EmbeddedBrokerOptions(log_path=tmp_path / "broker.log")) as broker:
        yield Faults(broker.bootstrap)


@pytest.fixture
def kafka_faults(apache_kafka: ApacheKafka) -> Iterator[Faults]:
    """The same on Apache Kafka, which other tests share: the two topics are made anew."""
    forget_topics(apache_kafka.bootstrap)
    yield Faults(apache_kafka.bootstrap)
    forget_topics(apache_kafka.bootstrap)


def forget_topics(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    ours = {topics.FAULTS, topics.ALERTS_STATE}
    there = ours & set(admin.list_topics(timeout=10).topics)
    for done in admin.delete_topics(list(there)).values() if there else ():
        done.result(30)
    until(lambda: not ours & set(admin.list_topics(timeout=10).topics))


@pytest.fixture
def hooks() -> Iterator[HookServer]:
    with HookServer() as server:
        yield server


def heard(server: HookServer) -> list[tuple[str, str]]:
    """Fault and status of every message, each of them signed by us."""
    assert all(IS_OURS(SECRET, hook.headers, hook.body) for hook in server.hooks)
    return [(each["fault"]["fault_id"], each["status"]) for each in server.documents()]


def webhook(server: HookServer, **options: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": f"{server.url}/hook", **options}


def test_a_webhook_hears_of_a_fault_and_of_its_end(faults: Faults, hooks: HookServer) -> None:
    with alerting(faults.bootstrap, receivers(pager=webhook(hooks))) as running:
        faults.say("f1")
        until(lambda: heard(hooks) == [("f1", "firing")])
        faults.say("f1", "updated", probes_bad=99)
        faults.say_again(event("f1"))  # a worker that took over says it again
        faults.write(b"f2", b"not a message")
        faults.write(b"f3", None)
        faults.say("f1", "resolved")
        until(lambda: heard(hooks) == [("f1", "firing"), ("f1", "resolved")])
        assert running.metric("delivered_total", receiver="pager", status="firing") == 1
        assert running.metric("bad_messages_total", reason="bad_framing") == 1
        assert running.metric("active") == 1


def test_slack_and_rules_for_each_receiver(faults: Faults, hooks: HookServer) -> None:
    with HookServer() as chat:
        settings = receivers(
            pager=webhook(hooks, severity_min="critical", kinds=frozenset({"loop"})),
            chat={"kind": "slack", "url": f"{chat.url}/secret"},
        )
        with alerting(faults.bootstrap, settings, console_url="http://console:8080"):
            faults.say("mild", severity="warning", kind="loop", element="<!channel>")
            faults.say("other", severity="critical")
            faults.say("ours", severity="critical", kind="loop")
            until(lambda: len(chat.hooks) == 3)
            until(lambda: heard(hooks) == [("ours", "firing")])
        assert [each["text"] for each in chat.documents()] == [
            "[warning] Loop at &lt;!channel&gt;",
            "[critical] Network loss at spine-1~leaf-1-2",
            "[critical] Loop at spine-1~leaf-1-2",
        ]


def test_one_receiver_that_is_down_does_not_hold_up_the_others(faults: Faults, hooks: HookServer) -> None:
    with HookServer(answer=lambda hook: (503, {})) as broken:
        settings = receivers(pager=webhook(hooks), broken=webhook(broken), silent=webhook(hooks))
        settings["silent"] = receivers(silent={"kind": "webhook", "url": "http://127.0.0.1:9/"})["silent"]
        with alerting(faults.bootstrap, settings) as running:
            for number in range(20):
                faults.say(f"f{number}")
            until(lambda: len(heard(hooks)) == 20)
            until(lambda: running.metric("failures_total", receiver="broken", reason="503") >= 2)
            until(lambda: running.metric("failures_total", receiver="silent", reason="ConnectError") >= 2)
            broken.answer = lambda hook: (200, {})
            until(lambda: len(heard(broken)) == 20)


def test_what_a_receiver_refuses_holds_up_no_other_fault(faults: Faults, hooks: HookServer) -> None:
    def answer(hook: Hook) -> tuple[int, dict[str, str]]:
        return (422 if hook.document["fault"]["fault_id"] == "bad" else 200), {}

    hooks.answer = answer
    with alerting(faults.bootstrap, receivers(pager=webhook(hooks))) as running:
        faults.say("bad")
        faults.say("good")
        until(lambda: heard(hooks) == [("good", "firing")])
        until(lambda: running.metric("failures_total", receiver="pager", reason="422") >= 2)
        hooks.answer = lambda hook: (200, {})
        until(lambda: ("bad", "firing") in heard(hooks))


def test_a_receiver_that_asks_for_time_gets_it(faults: Faults, hooks: HookServer) -> None:
    refused: list[float] = []

    def answer(hook: Hook) -> tuple[int, dict[str, str]]:
        if not refused:
            refused.append(hook.at_s)
            return 429, {"Retry-After": "3"}
        return 200, {}

    hooks.answer = answer
    with alerting(faults.bootstrap, receivers(pager=webhook(hooks))):
        faults.say("f1")
        until(lambda: hooks.hooks)
    assert hooks.hooks[0].at_s - refused[0] >= 3.0


def test_a_receiver_that_answers_too_slowly_is_told_again(faults: Faults, hooks: HookServer) -> None:
    slow = [True]

    def answer(hook: Hook) -> tuple[int, dict[str, str]]:
        if slow and slow.pop():
            time.sleep(3.0)
        return 200, {}

    hooks.answer = answer
    with alerting(faults.bootstrap, receivers(pager=webhook(hooks, deadline_s=1.0))) as running:
        faults.say("f1")
        until(lambda: len(hooks.hooks) >= 2)
        assert running.metric("failures_total", receiver="pager", reason="DeadlineExceeded") >= 1
    assert {hook.headers["X-ByteTracker-Delivery"] for hook in hooks.hooks} == {"f1-1-firing"}


def test_a_restart_says_nothing_twice_and_what_happened_meanwhile(faults: Faults, hooks: HookServer) -> None:
    settings = receivers(pager=webhook(hooks))
    faults.say("old")
    faults.say("old", "resolved")
    faults.say("open")
    with alerting(faults.bootstrap, settings):
        until(lambda: heard(hooks) == [("open", "firing")])
    faults.say("open", "resolved")
    faults.say("blip")
    faults.say("blip", "resolved")
    faults.say("new")
    with alerting(faults.bootstrap, settings):
        until(lambda: ("new", "firing") in heard(hooks))
    with alerting(faults.bootstrap, settings):
        faults.say("last")
        until(lambda: ("last", "firing") in heard(hooks))
    assert heard(hooks) == [
        ("open", "firing"),
        ("open", "resolved"),
        ("blip", "firing"),
        ("blip", "resolved"),
        ("new", "firing"),
        ("last", "firing"),
    ]


def test_another_process_takes_over(kafka_faults: Faults, hooks: HookServer) -> None:
    faults = kafka_faults
    settings = receivers(pager=webhook(hooks))
    with alerting(faults.bootstrap, settings) as first:
        faults.say("f1")
        until(lambda: heard(hooks) == [("f1", "firing")])
        with alerting(faults.bootstrap, settings) as second:
            faults.say("f2")
            until(lambda: ("f2", "firing") in heard(hooks))
            assert first.metric("active") + second.metric("active") <= 1
            first.stop.set()
            until(lambda: second.metric("active") == 1)
            faults.say("f1", "resolved")
            until(lambda: ("f1", "resolved") in heard(hooks))
    assert heard(hooks).count(("f1", "firing")) == 1


# -- Alertmanager ---------------------------------------------------------------------------------------


def labels(alerts: list[dict[str, Any]], name: str) -> list[str]:
    return sorted(alert["labels"][name] for alert in alerts)


def test_alertmanager_groups_and_resolves(
    faults: Faults, hooks: HookServer, alertmanager: Alertmanager
) -> None:
    """Its own notifications are what counts: one for each fault, and another when it is over."""
    alertmanager.configure(
        {
            "route": {
                "receiver": "hook",
                "group_by": ["fabric", "fault_id"],
                "group_wait": "1s",
                "group_interval": "1s",
            },
            "receivers": [{"name": "hook", "webhook_configs": [{"url": f"{hooks.url}/am"}]}],
        }
    )
    alertmanager.reload()
    settings = receivers(am={"kind": "alertmanager", "url": alertmanager.url, "labels": {"team": "net"}})
    with alerting(faults.bootstrap, settings, console_url="http://console:8080"):
        faults.say("f1", severity="warning", element="spine-1~leaf-1-1")
        faults.say("f2", kind="host_silent", element="server-1-1-1")
        until(lambda: labels(alertmanager.alerts(), "fault_id") == ["f1", "f2"])
        first = alertmanager.alerts()[0]
        assert first["generatorURL"].startswith("http://console:8080/#/faults/f")
        assert {group["labels"]["fault_id"] for group in alertmanager.groups()} == {"f1", "f2"}
        until(lambda: len(hooks.hooks) == 2)

        faults.say("f1", "updated", severity="critical", element="spine-1~leaf-1-1")
        until(lambda: labels(alertmanager.alerts(), "severity") == ["critical", "critical"])
        # The change is one notification of both: the alert that ended and the one that began.
        until(lambda: [d for d in hooks.documents() if len(d["alerts"]) == 2])
        (changed,) = [d for d in hooks.documents() if len(d["alerts"]) == 2]
        assert {a["labels"]["severity"]: a["status"] for a in changed["alerts"]} == {
            "warning": "resolved",
            "critical": "firing",
        }
        faults.say("f1", "resolved", severity="critical", element="spine-1~leaf-1-1")
        faults.say("f2", "updated", kind="host_silent", element="server-1-1-1", silenced="planned")
        until(lambda: alertmanager.alerts() == [])

        def last(fault_id: str) -> str:
            told = [d["status"] for d in hooks.documents() if d["groupLabels"]["fault_id"] == fault_id]
            return told[-1] if told else ""

        until(lambda: (last("f1"), last("f2")) == ("resolved", "resolved"))


def test_open_alerts_do_not_expire(faults: Faults, alertmanager: Alertmanager) -> None:
    document = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
    alertmanager.configure({"global": {"resolve_timeout": "3s"}, **document})
    alertmanager.reload()
    settings = receivers(am={"kind": "alertmanager", "url": alertmanager.url})
    with alerting(faults.bootstrap, settings):
        faults.say("f1")
        until(lambda: labels(alertmanager.alerts(), "fault_id") == ["f1"])
        begun_s = time.monotonic()
        while time.monotonic() < begun_s + 8.0:
            assert labels(alertmanager.alerts(), "fault_id") == ["f1"]
            time.sleep(0.2)
    # Without anybody who repeats it, it expires: so the repetitions did it.
    until(lambda: alertmanager.alerts() == [], 20.0)


def test_with_alertmanager_down_nothing_is_lost(faults: Faults, alertmanager: Alertmanager) -> None:
    settings = receivers(am={"kind": "alertmanager", "url": alertmanager.url})
    with alerting(faults.bootstrap, settings) as running:
        faults.say("stays")
        faults.say("ends")
        until(lambda: labels(alertmanager.alerts(), "fault_id") == ["ends", "stays"])
        alertmanager.kill()
        back_s = time.monotonic() + OUTAGE_S
        faults.say("ends", "resolved")
        for number in range(100):
            faults.say(f"new-{number}")
        for number in range(50):
            faults.say(f"new-{number}", "resolved")
        time.sleep(back_s - time.monotonic())
        assert running.metric("failures_total", receiver="am", reason="ConnectError") >= 5
        alertmanager.start()
        expected = sorted(["stays", *(f"new-{number}" for number in range(50, 100))])
        until(lambda: labels(alertmanager.alerts(), "fault_id") == expected)
        assert running.metric("given_up_total", receiver="am") == 0
        # It restarts once more, and has forgotten all: the next repetition brings it back.
        alertmanager.kill()
        alertmanager.start()
        until(lambda: labels(alertmanager.alerts(), "fault_id") == expected)


def test_without_a_broker_open_alerts_are_kept_open(
    kafka_faults: Faults, apache_kafka: ApacheKafka, alertmanager: Alertmanager
) -> None:
    """An alert that expired for want of a broker would look like a fault that is over."""
    document = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
    alertmanager.configure({"global": {"resolve_timeout": "3s"}, **document})
    alertmanager.reload()
    proxy = CuttableProxy(apache_kafka.behind_proxy_port, apache_kafka.proxy_port)
    settings = receivers(am={"kind": "alertmanager", "url": alertmanager.url})
    group = {"session_timeout_ms": 1_500, "heartbeat_interval_ms": 200}
    try:
        with alerting(proxy.address, settings, **group) as running:
            kafka_faults.say("f1")
            until(lambda: labels(alertmanager.alerts(), "fault_id") == ["f1"])
            proxy.cut("refuse")
            begun_s = time.monotonic()
            while time.monotonic() < begun_s + 8.0:
                assert labels(alertmanager.alerts(), "fault_id") == ["f1"]
                time.sleep(0.2)
            kafka_faults.say("f1", "resolved")
            kafka_faults.say("f2")
            proxy.cut("pass")
            until(lambda: labels(alertmanager.alerts(), "fault_id") == ["f2"], 60.0)
            assert running.metric("active") == 1
    finally:
        proxy.close()


# -- killed at any moment --------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost(
    kafka_faults: Faults, hooks: HookServer, alertmanager: Alertmanager, tmp_path: Path
) -> None:
    """kill -9 again and again while faults come and go; a receiver that is sometimes down."""
    faults = kafka_faults
    draw = random.Random(20_251_009)
    hooks.answer = lambda hook: (200 if draw.random() < 0.7 else 503, {})
    common = {"backoff_min_s": 0.1, "backoff_max_s": 0.5, "resend_every_s": 1.0}
    document = {
        "kafka": {"bootstrap_servers": faults.bootstrap},
        "alerts": {
            "session_timeout_ms": 1_500,
            "heartbeat_interval_ms": 200,
            "receivers": {
                "pager": {"kind": "webhook", "url": hooks.url, "secret": SECRET, **common},
                "am": {"kind": "alertmanager", "url": alertmanager.url, **common},
            },
        },
    }
    process = Process(tmp_path / "alerts", document)
    process.start()
    # The first run has to learn that it is new before there is anything to lose.
    faults.say("first")
    until(lambda: ("first", "firing") in heard(hooks), 60.0)
    is_open = {"first": True}
    try:
        for _ in range(6):
            for _ in range(draw.randint(3, 25)):
                name = f"f{draw.randrange(30)}"
                is_open[name] = not is_open.get(name, False)
                faults.say(name, "open" if is_open[name] else "resolved")
                time.sleep(draw.random() * 0.05)
            process.kill()
            if draw.random() < 0.3:
                time.sleep(draw.random())
            process.start()
            time.sleep(draw.random() * 6.0)
        hooks.answer = lambda hook: (200, {})
        wanted = sorted(name for name, yes in is_open.items() if yes)

        def believed() -> list[str]:
            last: dict[str, str] = {}
            for document in hooks.documents():
                last[document["fault"]["fault_id"]] = document["status"]
            return sorted(name for name, status in last.items() if status == "firing")

        until(lambda: believed() == wanted, 90.0)
        until(lambda: labels(alertmanager.alerts(), "fault_id") == wanted, 90.0)
    finally:
        process.stop()
    # Every one that ever opened was told, also those that are over: and it was told that they are.
    told = set(heard(hooks))
    for name, yes in is_open.items():
        assert (name, "firing") in told, name
        assert yes or (name, "resolved") in told, name
