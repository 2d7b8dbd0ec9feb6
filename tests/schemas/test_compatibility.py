"""Every version is readable by the newest, and a change that would break this is refused."""

from __future__ import annotations

import copy
import json
import shutil
from decimal import Decimal
from itertools import combinations
from typing import Any

import fastavro
import numpy as np
import pytest

from schemas import catalog, topics
from schemas.codec import decode
from schemas.compatibility import problems
from tests.schemas.traffic import EVERY_EXAMPLE, by_fastavro, head_of, load, rows_of


@pytest.mark.parametrize("topic", catalog.topics())
def test_every_version_is_readable_by_every_later_one(topic):
    versions = catalog.versions(topic)
    assert [v.version for v in versions] == list(range(1, len(versions) + 1))
    assert len({v.fingerprint for v in versions}) == len(versions)
    for older, newer in combinations(versions, 2):
        assert problems(older.definition, newer.definition) == []
    assert problems(versions[-1].definition, versions[-1].definition) == []


def test_fingerprints_of_published_versions():
    """A published file never changes, and its fingerprint is what old messages carry."""
    assert {t: catalog.versions(t)[0].fingerprint.hex() for t in catalog.topics()} == FINGERPRINTS


FINGERPRINTS = {
    "alerts-state": "284b0f9cbb621cb6",
    "coverage": "91f9c8f3835989ba",
    "dead-letters": "0cc89661fba12596",
    "faults": "292ce028b35314aa",
    "link-evidence": "db40245672c4b56e",
    "mirror-digests": "1cf3cbe40cd53a72",
    "probe-outcomes": "f40b32c8f2d24862",
    "probe-results": "03c5303aa925b01f",
    "streams-state": "790f348acbec103d",
}


def first(topic: str) -> dict[str, Any]:
    definition: dict[str, Any] = copy.deepcopy(catalog.versions(topic)[0].definition)
    return definition


@pytest.fixture
def second_version(tmp_path, monkeypatch):
    """Publishes a second version of a topic in a catalogue of the test's own."""
    shutil.copytree(catalog.FOLDER, tmp_path / "avsc")
    monkeypatch.setattr(catalog, "FOLDER", tmp_path / "avsc")
    catalog.versions.cache_clear()
    catalog.topics.cache_clear()

    def publish(topic: str, definition: dict[str, Any]) -> tuple[catalog.Schema, catalog.Schema]:
        for version in catalog.versions(topic)[1:]:
            (tmp_path / "avsc" / topic / f"{version.version}.avsc").unlink()
        (tmp_path / "avsc" / topic / "2.avsc").write_text(json.dumps(definition))
        catalog.versions.cache_clear()
        older, newer = catalog.versions(topic)
        return older, newer

    yield publish
    monkeypatch.undo()
    catalog.versions.cache_clear()
    catalog.topics.cache_clear()


@pytest.mark.parametrize("topic", [topics.OUTCOMES, topics.DIGESTS, topics.EVIDENCE])
def test_a_new_column_reads_as_zero_from_old_messages(topic, second_version):
    definition = first(topic)
    definition["fields"].insert(0, {"name": "site", "type": "string", "default": "here"})
    row = definition["fields"][-1]["type"]["items"]
    row["fields"].insert(1, {"name": "hops", "type": {"type": "fixed", "name": "Int2", "size": 2} | DECIMAL2})
    _define_once(definition)
    old, new = second_version(topic, definition)
    assert problems(old.definition, new.definition) == []
    for path in [p for t, p in EVERY_EXAMPLE if t == topic]:
        value = load(old, path)
        head, rows = decode(topic, by_fastavro(old, value))
        assert head == {"site": "here"} | head_of(old, value)
        assert rows is not None
        assert rows.dtype == new.row_dtype
        assert not rows["hops"].any()
        before = rows_of(old, value["rows"])
        for name in before.dtype.names or ():
            assert np.array_equal(rows[name], before[name])
        # And what is written today is read by today's.
        value = {**value, "site": "there", "rows": [{**r, "hops": Decimal(7)} for r in value["rows"]]}
        head, rows = decode(topic, by_fastavro(new, value))
        assert head["site"] == "there"
        assert rows is not None
        assert (rows["hops"] == 7).all()


DECIMAL2 = {"logicalType": "decimal", "precision": 4, "scale": 0}


def _define_once(record: dict[str, Any], seen: set[str] | None = None) -> None:
    """Later fields use the name of a type that an earlier one has defined."""
    seen = set() if seen is None else seen
    for field in record["fields"]:
        kind = field["type"]
        if isinstance(kind, dict) and kind["type"] == "array" and isinstance(kind["items"], dict):
            _define_once(kind["items"], seen)
        elif isinstance(kind, dict) and kind["type"] == "fixed":
            if kind["name"] in seen:
                field["type"] = kind["name"]
            seen.add(kind["name"])


def test_a_further_mapped_array_may_come_and_may_grow(second_version):
    """`pairs` stands before `rows`: old messages without it, or with fewer columns, are read all the same."""
    definition = first(topics.EVIDENCE)
    extra = {"name": "rtt_min_ns", "type": "Int8"}
    next(f for f in definition["fields"] if f["name"] == "pairs")["type"]["items"]["fields"].append(extra)
    site = {"name": "site", "type": "Int4"}
    more = {"type": "record", "name": "SiteCount", "fields": [site]}
    definition["fields"].insert(
        -1, {"name": "sites", "type": {"type": "array", "items": more}, "default": []}
    )
    old, new = second_version(topics.EVIDENCE, definition)
    assert problems(old.definition, new.definition) == []
    path = next(p for t, p in EVERY_EXAMPLE if p.stem == "a-slot-with-losses")
    value = load(old, path)
    head, rows = decode(topics.EVIDENCE, by_fastavro(old, value))
    pairs = np.frombuffer(head["pairs"], new.tables["pairs"])
    before = np.frombuffer(head_of(old, value)["pairs"], old.tables["pairs"])
    assert len(pairs) and not pairs["rtt_min_ns"].any()
    assert all(np.array_equal(pairs[name], before[name]) for name in before.dtype.names or ())
    assert head["sites"] == b""
    assert rows is not None and rows.tobytes() == rows_of(old, value["rows"]).tobytes()


def test_a_new_field_of_ordinary_records(second_version):
    definition = first(topics.FAULTS)
    definition["fields"].append({"name": "owner", "type": ["null", "string"], "default": None})
    old, new = second_version(topics.FAULTS, definition)
    assert problems(old.definition, new.definition) == []
    path = next(p for t, p in EVERY_EXAMPLE if t == topics.FAULTS)
    head, _ = decode(topics.FAULTS, by_fastavro(old, load(old, path)))
    assert head == {**load(old, path), "owner": None}
    assert new.version == 2


def change(topic: str, edit) -> list[str]:
    definition = first(topic)
    edit({field["name"]: field for field in definition["fields"]}, definition)
    return problems(first(topic), definition)


REFUSED = {
    "a field without a default": (
        topics.FAULTS,
        lambda f, d: d["fields"].append({"name": "x", "type": "int"}),
    ),
    "another type": (topics.FAULTS, lambda f, d: f["version"].update(type="string")),
    "a narrower type": (topics.FAULTS, lambda f, d: f["probes_bad"].update(type="int")),
    "null no more": (topics.FAULTS, lambda f, d: f["loss_rate"].update(type="double")),
    "a symbol less": (topics.FAULTS, lambda f, d: f["state"]["type"]["symbols"].remove("updated")),
    "a renamed record": (topics.FAULTS, lambda f, d: d.update(name="Event")),
    "a field of nested records": (
        topics.FAULTS,
        lambda f, d: f["suspects"]["type"]["items"]["fields"].append({"name": "x", "type": "int"}),
    ),
    "a map of something else": (topics.EVIDENCE, lambda f, d: f["verdicts"]["type"].update(values="string")),
    "a column of another size": (
        topics.OUTCOMES,
        lambda f, d: f["rows"]["type"]["items"]["fields"][0].update(
            type={"type": "fixed", "name": "Int4", "size": 4}
        ),
    ),
    "rows that are not last": (
        topics.OUTCOMES,
        lambda f, d: d["fields"].append({"name": "x", "type": "int", "default": 0}),
    ),
    "an ordinary column among further mapped ones": (
        topics.EVIDENCE,
        lambda f, d: f["pairs"]["type"]["items"]["fields"].append(
            {"name": "x", "type": "long", "default": 0}
        ),
    ),
    "an ordinary column among mapped ones": (
        topics.OUTCOMES,
        lambda f, d: f["rows"]["type"]["items"]["fields"].append({"name": "x", "type": "long", "default": 0}),
    ),
}
ALLOWED = {
    "a wider type": (topics.FAULTS, lambda f, d: f["version"].update(type="long")),
    "a symbol more": (topics.FAULTS, lambda f, d: f["state"]["type"]["symbols"].append("muted")),
    "a field less": (topics.FAULTS, lambda f, d: d["fields"].remove(f["story"])),
    "null as well": (topics.FAULTS, lambda f, d: f["story"].update(type=["null", "string"])),
    "another order": (topics.FAULTS, lambda f, d: d["fields"].reverse()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    assert change(*REFUSED[name]) != []


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed_and_fastavro_agrees(name):
    topic, edit = ALLOWED[name]
    assert change(topic, edit) == []
    definition = first(topic)
    edit({field["name"]: field for field in definition["fields"]}, definition)
    import io

    old = catalog.versions(topic)[0]
    value = load(old, next(p for t, p in EVERY_EXAMPLE if t == topic))
    body = io.BytesIO(by_fastavro(old, value)[10:])
    fastavro.schemaless_reader(body, old.parsed, fastavro.parse_schema(definition))
    assert body.read() == b""
