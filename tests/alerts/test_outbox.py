"""What a receiver is told: cases by hand, then any history of faults, failures, crashes and compaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.fault import Fault, Rule, fault_of
from alerts.message import Identity, Message, Told
from alerts.newest import NewestVersions
from alerts.outbox import Limits, Outbox
from alerts.patience import Patience
from tests.alerts.events import event, fault

RULE = Rule("warning")
PATIENCE = Patience(1.0, 8.0)


def identity(each: Fault) -> Identity:
    return {"fault_id": each.fault_id, "severity": each.severity, "element": each.element}


def outbox(rule: Rule = RULE, limits: Limits = Limits(), **remembered: Any) -> Outbox:  # noqa: B008
    return Outbox(rule, identity, PATIENCE, limits, **remembered)


def ready(*before: Fault, **options: Any) -> Outbox:
    box = outbox(**options)
    for offset, each in enumerate(before):
        box.take(each, offset, 0.0)
    box.caught_up(len(before), 0.0)
    return box


def drain(box: Outbox, now_s: float = 0.0) -> list[Message]:
    told = []
    while messages := box.due(now_s):
        box.begin(messages)
        for message in messages:
            box.delivered(message, now_s)
            told.append(message)
    return told


def statuses(messages: list[Message]) -> list[tuple[str, int, str, str]]:
    return [(m.fault.fault_id, m.fault.version, m.status, m.reason) for m in messages]


def test_open_then_resolved() -> None:
    box = ready()
    box.take(fault(), 0, 0.0)
    assert statuses(drain(box)) == [("f1", 1, "firing", "")]
    box.take(fault(version=2, state="resolved"), 1, 1.0)
    assert statuses(drain(box)) == [("f1", 2, "resolved", "resolved")]
    assert drain(box) == []
    assert box.position == 2


def test_numbers_that_change_are_not_news() -> None:
    box = ready()
    box.take(fault(), 0, 0.0)
    drain(box)
    box.take(fault(version=2, state="updated", probes_bad=900), 1, 1.0)
    assert drain(box) == []
    assert [m.fault.event["probes_bad"] for m in box.open()] == [900]  # told with the next repetition


def test_a_change_of_identity_ends_one_alert_and_begins_another() -> None:
    box = ready()
    box.take(fault(severity="warning"), 0, 0.0)
    drain(box)
    box.take(fault(version=2, state="updated", severity="critical"), 1, 1.0)
    (message,) = drain(box)
    assert message.firing
    assert message.identity["severity"] == "critical"
    assert message.ended is not None
    assert message.ended.identity["severity"] == "warning"
    box.take(fault(version=3, state="resolved", severity="critical"), 2, 2.0)
    (message,) = drain(box)
    assert message.identity["severity"] == "critical"
    assert message.ended is None


def test_what_happened_while_the_receiver_was_away() -> None:
    """Blips are told twice, what goes on once as it is now, what was silenced or joined not at all."""
    box = ready()
    box.take(fault("blip"), 0, 0.0)
    box.begin(box.due(0.0))
    box.failed(0.0, 0.0, maybe_heard=False)
    box.take(fault("blip", 2, "resolved"), 1, 0.0)
    box.take(fault("goes-on", severity="warning"), 2, 0.0)
    box.take(fault("goes-on", 2, "updated", severity="critical"), 3, 0.0)
    box.take(fault("silenced"), 4, 0.0)
    box.take(fault("silenced", 2, "updated", silenced="planned"), 5, 0.0)
    box.take(fault("joined"), 6, 0.0)
    box.take(fault("joined", 2, "resolved", part_of="goes-on"), 7, 0.0)
    assert box.due(0.4) == []
    assert statuses(drain(box, 60.0)) == [
        ("blip", 1, "firing", ""),
        ("blip", 2, "resolved", "resolved"),
        ("goes-on", 2, "firing", ""),
    ]


def test_silenced_and_joined_faults_are_resolved_where_they_were_told() -> None:
    box = ready()
    for offset, name in enumerate(("silenced", "joined", "milder")):
        box.take(fault(name), offset, 0.0)
    drain(box)
    box.take(fault("silenced", 2, "updated", silenced="planned"), 3, 1.0)
    box.take(fault("joined", 2, "resolved", part_of="f9"), 4, 1.0)
    box.take(fault("milder", 2, "updated", severity="info"), 5, 1.0)
    assert statuses(drain(box)) == [
        ("silenced", 2, "resolved", "silenced"),
        ("joined", 2, "resolved", "part_of"),
        ("milder", 2, "resolved", "severity"),
    ]
    box.take(fault("silenced", 3, "updated"), 6, 2.0)  # the silence ended before the fault did
    assert statuses(drain(box)) == [("silenced", 3, "firing", "")]


def test_rules() -> None:
    only_loops = Rule("info", frozenset({"loop"}))
    assert only_loops.why_not(fault()) == "kind"
    assert only_loops.why_not(fault(kind="loop")) == ""
    assert Rule("critical").why_not(fault(severity="warning")) == "severity"
    assert Rule().why_not(fault(state="resolved", silenced="x")) == "resolved"


def test_a_new_receiver_learns_what_is_open_and_not_what_is_over() -> None:
    box = ready(fault("old"), fault("old", 2, "resolved"), fault("open"), position=None)
    assert statuses(drain(box)) == [("open", 1, "firing", "")]
    assert box.position == 3


def test_nothing_is_said_before_the_topic_has_been_read() -> None:
    box = outbox()
    box.take(fault(), 0, 0.0)
    assert box.due(0.0) == []
    assert box.position is None


def test_after_a_restart_nothing_is_said_again() -> None:
    box = ready()
    box.take(fault(), 0, 0.0)
    (message,) = box.due(0.0)
    box.begin([message])
    told = box.delivered(message, 0.0)
    again = ready(fault(), told=[told], position=1)
    assert drain(again) == []
    assert [m.fault.fault_id for m in again.open()] == ["f1"]


def test_what_ended_while_nobody_looked_is_told_afterwards() -> None:
    told = [Told("f1", 1, 0, True, identity(fault()), 0)]
    box = ready(fault(), fault(version=2, state="resolved"), told=told, position=1)
    assert statuses(drain(box)) == [("f1", 2, "resolved", "resolved")]
    # Compaction has taken the first event away.
    box = outbox(told=told, position=1)
    box.take(fault(version=2, state="resolved"), 1, 0.0)
    box.caught_up(2, 0.0)
    assert statuses(drain(box)) == [("f1", 2, "resolved", "resolved")]


def test_a_fault_of_which_nothing_is_known_any_more_ends() -> None:
    box = ready(told=[Told("f1", 1, 0, True, identity(fault()), 5)], position=1)
    (message,) = drain(box)
    assert (message.status, message.reason, message.starts_at_us) == ("resolved", "forgotten", 5)


def test_a_topic_made_anew_begins_from_its_beginning() -> None:
    box = outbox(told=[Told("gone", 1, 4_000, True, {}, 0)], position=5_000)
    box.take(fault(), 0, 0.0)
    box.caught_up(1, 0.0)
    assert {m.fault.fault_id for m in drain(box)} == {"gone", "f1"}
    assert box.position == 1


def test_a_refused_message_holds_up_no_other() -> None:
    box = ready()
    box.take(fault("bad"), 0, 0.0)
    box.take(fault("good"), 1, 0.0)
    (message,) = box.due(0.0)
    assert message.fault.fault_id == "bad"
    box.begin([message])
    box.refused(message, 0.0, 1.0)
    assert statuses(drain(box, 0.1)) == [("good", 1, "firing", "")]
    assert box.waiting == 1
    assert box.position == 0
    assert statuses(drain(box, 1.1)) == [("bad", 1, "firing", "")]


def test_a_receiver_that_is_away_is_left_alone_longer_and_longer() -> None:
    box = ready()
    box.take(fault(), 0, 0.0)
    waits = []
    for _ in range(6):
        box.failed(0.0, 1.0, maybe_heard=False)
        waits.append(box.next_due_s())
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    box.failed(0.0, 1.0, maybe_heard=False, wait_s=30.0)  # it said when to come back
    assert box.next_due_s() == 30.0
    box.heard_back()
    box.failed(0.0, 0.0, maybe_heard=False)
    assert box.next_due_s() == 0.5


def test_what_is_over_is_given_up_after_a_while_and_what_is_open_is_not() -> None:
    box = ready(limits=Limits(give_up_after_s=100.0))
    box.take(fault("over"), 0, 0.0)
    box.take(fault("over", 2, "resolved"), 1, 0.0)
    box.take(fault("open"), 2, 0.0)
    assert box.give_up(99.0) == []
    assert statuses(box.give_up(101.0)) == [("over", 1, "resolved", "given_up")]
    assert statuses(drain(box, 200.0)) == [("open", 1, "firing", "")]


def test_the_oldest_are_given_up_when_too_much_waits() -> None:
    box = ready(limits=Limits(waiting_max=2))
    for number in range(4):
        box.take(fault(f"f{number}"), 2 * number, float(number))
        box.take(fault(f"f{number}", 2, "resolved"), 2 * number + 1, float(number))
    assert [m.fault.fault_id for m in box.give_up(5.0)] == ["f0", "f1"]
    assert box.waiting == 2


def test_it_came_back_and_ended_while_its_end_was_on_its_way() -> None:
    box = ready()
    box.take(fault(), 0, 0.0)
    drain(box)
    box.take(fault(version=2, state="resolved"), 1, 0.0)
    (under_way,) = box.due(0.0)
    box.begin([under_way])
    box.take(fault(version=3), 2, 0.0)
    assert box.position == 2, "the end that is on its way may make the return news"
    box.delivered(under_way, 0.0)
    box.take(fault(version=4, state="resolved"), 3, 0.0)
    assert statuses(drain(box)) == [("f1", 3, "firing", ""), ("f1", 4, "resolved", "resolved")]


def test_without_an_answer_the_receiver_may_know_and_is_told_again() -> None:
    box = ready()
    box.take(fault("over"), 0, 0.0)
    box.take(fault("silenced"), 1, 0.0)
    box.begin(box.due(0.0, 2))
    box.failed(0.0, 0.0, maybe_heard=True)
    box.take(fault("over", 2, "resolved"), 2, 0.0)
    box.take(fault("silenced", 2, "updated", silenced="planned"), 3, 0.0)
    assert statuses(drain(box, 60.0)) == [
        ("over", 1, "firing", ""),
        ("over", 2, "resolved", "resolved"),
        ("silenced", 2, "resolved", "silenced"),
    ]


def again(box_told: list[Told], *events: Fault) -> list[Message]:
    """What a process tells that finds this stored, and these events from the beginning on."""
    box = outbox(told=box_told, position=0)
    for offset, each in enumerate(events):
        box.take(each, offset, 0.0)
    box.caught_up(len(events), 0.0)
    return drain(box)


def test_killed_before_it_was_sent_both_beginning_and_end_are_told() -> None:
    box = ready()
    box.take(fault(), 0, 0.0)
    unsure = box.begin(box.due(0.0))
    told = again(unsure, fault(), fault(version=2, state="resolved"))
    assert statuses(told) == [("f1", 1, "firing", ""), ("f1", 2, "resolved", "resolved")]


def test_killed_before_an_end_was_sent_it_is_told() -> None:
    box = ready()
    box.take(fault(), 0, 0.0)
    drain(box)
    over = fault(version=2, state="resolved")
    box.take(over, 1, 0.0)
    unsure = box.begin(box.due(0.0))
    assert statuses(again(unsure, fault(), over)) == [("f1", 2, "resolved", "resolved")]
    # Or it came back meanwhile: whether the receiver heard of the end or not, it hears that it is open.
    assert statuses(again(unsure, fault(), over, fault(version=3))) == [("f1", 3, "firing", "")]


# -- any history -------------------------------------------------------------------------------------

Events = list[dict[str, Any]]


@st.composite
def histories(draw: st.DrawFn) -> Events:
    """Events of up to four faults in the order of a log, some of them twice."""
    lives: dict[str, tuple[int, bool]] = {}
    log: Events = []
    for _ in range(draw(st.integers(1, 25))):
        name = draw(st.sampled_from(["a", "b", "c", "d"]))
        version, is_open = lives.get(name, (0, False))
        state = draw(st.sampled_from(["updated", "resolved"])) if is_open else "open"
        lives[name] = (version + 1, state != "resolved")
        log.append(
            event(
                name,
                version + 1,
                state,
                severity=draw(st.sampled_from(["info", "warning", "critical"])),
                element=draw(st.sampled_from(["spine-1", "spine-2"])),
                silenced=draw(st.sampled_from(["", "", "", "planned"])),
                part_of="x" if state == "resolved" and draw(st.booleans()) else "",
            )
        )
        if draw(st.booleans()):
            log += log[-draw(st.integers(1, 3)) :]  # a worker that took over says the last ones again
    return log


@dataclass
class World:
    """A log, a receiver and what is stored, with a process that may be killed at any moment."""

    log: Events
    stored: dict[str, Told] = field(default_factory=dict)
    stored_position: int | None = None
    heard: list[Message] = field(default_factory=list)  # by the receiver, in order
    believes: dict[str, dict[str, str]] = field(default_factory=dict)
    read: int = 0  # messages of the log that exist by now
    compacted: bool = False
    now_s: float = 0.0
    box: Outbox = field(init=False)
    newest: NewestVersions = field(init=False)

    def start(self) -> None:
        self.box = outbox(told=list(self.stored.values()), position=self.stored_position)
        self.newest = NewestVersions()
        for offset, value in enumerate(self.log[: self.read]):
            later = [each["fault_id"] for each in self.log[offset + 1 : self.read]]
            if not (self.compacted and value["fault_id"] in later):
                self._take(offset, value)
        self.box.caught_up(self.read, self.now_s)
        self.store_position()

    def grow(self) -> None:
        if self.read < len(self.log):
            self._take(self.read, self.log[self.read])
            self.read += 1

    def _take(self, offset: int, value: dict[str, Any]) -> None:
        each = fault_of(value)
        if self.newest.is_news(each):
            self.box.take(each, offset, self.now_s)
        else:
            self.box.skip(offset)

    def store_position(self) -> None:
        self.stored_position = self.box.position
        for told in self.box.settle():
            self.stored.pop(told.fault_id, None)

    def send(self, how: str = "heard", while_under_way: int = 0) -> None:
        """how: heard; unanswered (heard, but no answer came); killed (heard, and killed before that was
        stored); not-sent (killed before it was sent); failed."""
        messages = self.box.due(self.now_s, 2)
        for told in self.box.begin(messages):
            self.stored[told.fault_id] = told
        for _ in range(while_under_way):
            self.grow()
        for message in messages if how in ("heard", "unanswered", "killed") else ():
            self.heard.append(message)
            self._hear(message)
        if how == "heard":
            for message in messages:
                told = self.box.delivered(message, self.now_s)
                self.stored[told.fault_id] = told
        elif how in ("unanswered", "failed"):
            self.box.failed(self.now_s, 0.5, maybe_heard=how == "unanswered")
        else:
            self.start()

    def _hear(self, message: Message) -> None:
        if message.firing:
            self.believes[message.fault.fault_id] = dict(message.identity)
        else:
            self.believes.pop(message.fault.fault_id, None)

    def wanted(self) -> dict[str, dict[str, str]]:
        newest: dict[str, Fault] = {}
        for value in self.log[: self.read]:
            each = fault_of(value)
            if each.fault_id not in newest or newest[each.fault_id].version < each.version:
                newest[each.fault_id] = each
        return {name: dict(identity(each)) for name, each in newest.items() if not RULE.why_not(each)}

    def drain(self) -> None:
        for _ in range(1_000):
            self.now_s += 10.0
            if not self.box.due(self.now_s):
                return
            self.send()
        raise AssertionError("it never ends")


STEPS = st.lists(
    st.sampled_from(
        [
            *("grow", "grow", "send", "send-slowly", "refuse", "position", "kill"),
            *("killed", "not-sent", "failed", "unanswered"),
        ]
    ),
    max_size=60,
)


def play(log: Events, steps: list[str], *, compacted: bool) -> World:
    world = World(log, compacted=compacted)
    world.start()
    for step in steps:
        world.now_s += 1.0
        match step:
            case "grow":
                world.grow()
            case "send":
                world.send()
            case "send-slowly":
                world.send(while_under_way=3)
            case "killed" | "not-sent" | "failed" | "unanswered":
                world.send(step, while_under_way=1)
            case "refuse":
                for message in world.box.due(world.now_s):
                    world.box.begin([message])
                    world.box.refused(message, world.now_s, 0.5)
            case "position":
                world.store_position()
            case "kill":
                world.start()
    while world.read < len(log):
        world.grow()
    world.drain()
    return world


@settings(max_examples=400, deadline=None)
@given(histories(), STEPS, st.booleans())
def test_in_the_end_a_receiver_believes_what_is_true(log: Events, steps: list[str], compacted: bool) -> None:
    world = play(log, steps, compacted=compacted)
    assert world.believes == world.wanted()
    assert world.box.waiting == 0
    assert {m.fault.fault_id for m in world.box.open()} == set(world.believes)
    assert world.box.position == len(log)


@settings(max_examples=300, deadline=None)
@given(histories(), STEPS)
def test_every_fault_that_opened_and_ended_is_told(log: Events, steps: list[str]) -> None:
    """At least once: whatever is worth telling and then goes on, or ends by itself, was told."""
    world = play(log, steps, compacted=False)
    for name in {value["fault_id"] for value in log}:
        heard = [m for m in world.heard if m.fault.fault_id == name]
        newest, lives = 0, []
        for value in log:
            if value["fault_id"] == name and value["version"] > newest:
                newest = value["version"]
                lives.append(fault_of(value))
        for at in range(1, len(lives)):
            # Ended by itself straight after a state worth telling, and nobody has silenced it since.
            why_not = [RULE.why_not(each) for each in lives[at - 1 :]]
            if why_not[0] or why_not[1] != "resolved" or set(why_not) != {"", "resolved"}:
                continue
            version = lives[at].version
            ends = [m for m in heard if not m.firing and m.fault.version >= version]
            goes_on = [m for m in heard if m.firing and m.fault.version > version]
            assert ends or goes_on or name in world.believes, (name, version)
            assert [m for m in heard if m.firing], "only its end was told"


@settings(max_examples=200, deadline=None)
@given(histories(), st.lists(st.sampled_from(["grow", "send", "failed", "position"]), max_size=60))
def test_without_crashes_nothing_is_told_twice(log: Events, steps: list[str]) -> None:
    world = play(log, steps, compacted=False)
    last: dict[str, tuple[str, dict[str, str]]] = {}
    for message in world.heard:
        said = (message.status, dict(message.identity))
        assert last.get(message.fault.fault_id) != said
        last[message.fault.fault_id] = said


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_are_bounded(failures: int, random: float) -> None:
    wait_s = Patience(0.5, 60.0).wait_s(failures, random)
    assert 0.25 <= wait_s <= 60.0


def test_versions_are_remembered_of_so_many_faults_only() -> None:
    newest = NewestVersions(faults_max=2)
    assert newest.is_news(fault("a"))
    assert not newest.is_news(fault("a"))
    assert newest.is_news(fault("b"))
    assert newest.is_news(fault("c"))  # a is forgotten
    assert newest.is_news(fault("a"))
    assert not newest.is_news(fault("c"))
