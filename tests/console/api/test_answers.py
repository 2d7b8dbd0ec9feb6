"""Every route over both stores: what it says fits its description, and is what was planted."""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from console.context import Console
from console.security import API
from console.settings import ConsoleSettings
from fabric.builtin import builtin_fabric
from sinks.cookbook import recipes
from sinks.reading import open_reader
from sinks.settings import ChdbSettings
from tests.console.api.conftest import MakeClient
from tests.sinks.cookbook.plants import FIRST_FAULT, LOST_PROBE, NEWEST

pytestmark = pytest.mark.servers

ASKED = [
    "overview",
    "fabric",
    "fabric/switches/leaf-1-1",
    "links/now",
    "faults",
    "faults?state=open&limit=5",
    "faults?state=resolved&kind=network_loss&severity=critical&element=leaf-1-1&since_us=1&until_us=99",
    f"faults/{FIRST_FAULT}",
    f"faults/{FIRST_FAULT}/evidence",
    "probes?limit=3",
    "probes?server=server-1-1-1",
    "probes?link=leaf-1-1~spine-1&verdict=network_loss",
    "probes?switch=spine-1&from_us=0&to_us=9000000000000000",
    f"probes/{LOST_PROBE}",
    "matrix",
    "matrix?level=tor&kind=north_south&pod_from=border-1&pod_to=pod-1",
    "matrix/span",
    "coverage",
    "health",
    "search?q=leaf",
    "sql/tables",
    "sql/examples",
    "silences",
]


def get(client: TestClient, path: str) -> Any:
    answer = client.get(f"{API}/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", ASKED)
def test_answers_fit_their_description(client: TestClient, path: str) -> None:
    answer = get(client, path)
    document = client.get(f"{API}/openapi.json").json()
    described = _operation(document, f"{API}/{path.split('?', maxsplit=1)[0]}")
    schema = described["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer, {**schema, "components": document["components"]})


def test_the_description_names_what_decision_0028_does(client: TestClient) -> None:
    document = client.get(f"{API}/openapi.json").json()
    assert document["openapi"].startswith("3.")
    decided = (Path(__file__).parents[3] / "docs/decisions/0028-what-an-operator-sees.md").read_text()
    promised = {
        f"{method} {API}/{re.split(r'[?` {]', path)[0].rstrip('/')}"
        for method, path in re.findall(r"`(GET|POST|DELETE) ([^`\s]+)", decided)
    }
    there = {
        f"{method.upper()} {path.split('/{')[0]}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert len(promised) > 15
    assert promised <= there
    text = json.dumps(document)
    for reference in re.findall(r'"#/components/schemas/(\w+)"', text):
        assert reference in document["components"]["schemas"]
    ids = re.findall(r'"operationId": "(\w+)"', text)
    assert len(ids) == len(set(ids))


def test_faults(client: TestClient) -> None:
    everything = get(client, "faults?limit=1000")
    assert everything["total"] == len(everything["faults"]) > 5
    opened = [fault["opened_at_us"] for fault in everything["faults"]]
    assert opened == sorted(opened, reverse=True)
    first = next(f for f in everything["faults"] if f["fault_id"] == FIRST_FAULT)
    assert (first["kind"], first["state"]) == ("network_loss", "resolved")
    assert first["resolved_at_us"] == first["detected_at_us"] > first["opened_at_us"]
    assert {f["state"] for f in get(client, "faults?state=open")["faults"]} <= {"open", "updated"}
    limited = get(client, "faults?limit=2")
    assert (len(limited["faults"]), limited["total"]) == (2, everything["total"])
    suspect = first["suspects"][0]["element"]
    near, _, far = suspect.partition("~")
    for element in (suspect, f"{far}~{near}", near):
        found = get(client, f"faults?element={element}")["faults"]
        assert FIRST_FAULT in {f["fault_id"] for f in found}, element
    assert get(client, "faults?element=no-such-thing")["faults"] == []


def test_one_fault(client: TestClient) -> None:
    page = get(client, f"faults/{FIRST_FAULT}")
    versions = [event["version"] for event in page["events"]]
    assert versions == list(range(1, len(versions) + 1))
    assert page["fault"] == page["events"][-1]
    assert str(LOST_PROBE) in {probe["probe_id"] for probe in page["examples"]}
    evidence = get(client, f"faults/{FIRST_FAULT}/evidence")
    assert len(evidence["slot_us"]) <= 600
    steps = {b - a for a, b in zip(evidence["slot_us"], evidence["slot_us"][1:], strict=False)}
    assert steps == {evidence["slot_length_us"]}
    worst = evidence["series"][0]
    assert worst["link"].startswith(page["fault"]["suspects"][0]["element"].split("~")[0])
    assert sum(worst["lost"]) > 0
    assert all(
        len(series[name]) == len(evidence["slot_us"])
        for series in evidence["series"]
        for name in ("passed", "lost", "altered", "missing")
    )
    assert client.get(f"{API}/faults/none/evidence").status_code == 404
    assert client.get(f"{API}/faults/none").json() == {"detail": "there is no fault 'none'"}


def test_one_probe(client: TestClient) -> None:
    probe = get(client, f"probes/{LOST_PROBE}")
    assert (probe["probe_id"], probe["verdict"]) == (str(LOST_PROBE), "network_loss")
    leg = next(leg for leg in probe["legs"] if leg["leg"] == probe["fault_leg"])
    names = [node["name"] for node in leg["nodes"]]
    at = names.index(probe["last_seen"])
    assert leg["nodes"][at]["seen"]
    assert not any(node["seen"] for node in leg["nodes"][at + 1 :])
    assert names[-1] in (probe["prober"], probe["target"])
    times = get(client, f"probes/{LOST_PROBE}?sent_at_us={probe['sent_at_us']}")
    assert times == probe
    assert client.get(f"{API}/probes/{LOST_PROBE}?sent_at_us=1").status_code == 404
    assert client.get(f"{API}/probes/{2**64}").status_code == 400
    assert client.get(f"{API}/probes/abc").status_code == 422


def test_probes_are_found(client: TestClient) -> None:
    everything = "from_us=0&to_us=9000000000000000&limit=1000"
    found = get(client, f"probes?{everything}")["probes"]
    sent = [probe["sent_at_us"] for probe in found]
    assert sent == sorted(sent, reverse=True)
    lost = get(client, f"probes?verdict=network_loss&{everything}")["probes"]
    assert lost
    assert {probe["verdict"] for probe in lost} == {"network_loss"}
    one = lost[0]
    by_server = get(client, f"probes?server={one['target']}&{everything}")["probes"]
    assert one["probe_id"] in {probe["probe_id"] for probe in by_server}
    assert {probe["target"] for probe in by_server} == {one["target"]}
    link = next(probe for probe in lost if probe["next_node"])
    by_link = get(client, f"probes?link={link['last_seen']}~{link['next_node']}&{everything}")["probes"]
    assert link["probe_id"] in {probe["probe_id"] for probe in by_link}
    assert client.get(f"{API}/probes?link=leaf-1-1").status_code == 400


def test_matrix(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = f"from_us=0&to_us={NEWEST + 60_000_000}"
    pods = get(client, f"matrix?{whole}")
    tors = get(client, f"matrix?level=tor&{whole}")
    for column in (2, 3, 4, 5, 6):
        assert sum(c[column] for c in pods["cells"]) == sum(c[column] for c in tors["cells"])
    assert {"pod-1", "pod-2"} <= set(pods["columns"])
    assert {"tor-1-1"} <= set(tors["columns"])
    some = get(client, f"matrix?level=tor&pod_to=pod-1&{whole}")
    assert set(some["columns"]) <= {f"tor-1-{n}" for n in range(1, 9)}
    kinds = [
        sum(c[2] for c in get(client, f"matrix?kind={kind}&{whole}")["cells"])
        for kind in ("north_south", "east_west", "inter_prober")
    ]
    assert sum(kinds) == sum(c[2] for c in pods["cells"])
    monkeypatch.setattr("console.queries.matrix.PAIRS_MAX", 3)
    refused = client.get(f"{API}/matrix?level=tor&from_us=1&to_us={NEWEST + 60_000_000}")
    assert refused.status_code == 400
    assert "Choose a pod" in refused.json()["detail"]
    span = get(client, "matrix/span")
    assert span["minutes"][-1]["minute_us"] == NEWEST // 60_000_000 * 60_000_000


def test_now_of_a_finished_run_is_its_end(client: TestClient) -> None:
    overview = get(client, "overview")
    assert overview["now_us"] >= NEWEST
    assert (overview["store"], overview["broker"], overview["read_only"]) == (True, False, True)
    assert overview["broker_advice"]
    links = get(client, "links/now")
    assert links["at_us"] == overview["now_us"]


def test_tables_have_meanings(client: TestClient) -> None:
    tables = get(client, "sql/tables")
    assert {"fault_history", "worst_links", "link_evidence"} <= {table["name"] for table in tables}
    missing = [
        f"{table['name']}.{column['name']}"
        for table in tables
        for column in table["columns"]
        if not column["meaning"]
    ]
    assert missing == []
    assert [table["name"] for table in tables if not table["meaning"]] == []


@pytest.mark.parametrize("name", [recipe.name for recipe in recipes()])
def test_every_example_can_be_asked(client: TestClient, name: str) -> None:
    example = next(each for each in get(client, "sql/examples") if each["name"] == name)
    answer = client.post(f"{API}/sql", json={"sql": example["sql"]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["names"]


def test_typed_sql(client: TestClient) -> None:
    answer = client.post(
        f"{API}/sql",
        json={"sql": "SELECT number AS n, toUInt64(18446744073709551615) AS big FROM numbers(9)", "limit": 4},
    ).json()
    assert answer["names"] == ["n", "big"]
    # JavaScript would round it.
    assert answer["rows"] == [[n, "18446744073709551615"] for n in range(4)]
    assert answer["truncated"] is True
    odd = client.post(
        f"{API}/sql", json={"sql": "SELECT nan, inf, '\x00\\'\"<b>', [1, NULL], map('a', 1)"}
    ).json()
    assert odd["rows"] == [[None, None, "\x00'\"<b>", [1, None], {"a": 1}]]


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE slots",
        "INSERT INTO slots (slot) VALUES (now())",
        "KILL QUERY WHERE 1",
        "SELEC 1",
        "SELECT 1; SELECT 2",
    ],
)
def test_what_the_store_refuses_is_told(client: TestClient, sql: str) -> None:
    for path in ("sql", "sql/csv"):
        answer = client.post(f"{API}/{path}", json={"sql": sql})
        assert answer.status_code == 400
        assert "Code" in answer.json()["detail"]
    assert get(client, "overview")["now_us"] > 0


def test_downloads_are_harmless_in_spreadsheets(client: TestClient) -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "plain", 'quote " comma ,', "line\nbreak"]
    sql = (
        "SELECT arrayJoin(["
        + ", ".join(f"unhex('{text.encode().hex()}')" for text in texts)
        + "]) AS `=text`, -5 AS n"
    )
    answer = client.post(f"{API}/sql/csv", json={"sql": sql})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="bytetracker-')
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["'=text", "n"]
    assert [row[0] for row in rows[1:]] == [f"'{t}" if t[0] in "=+-@\t\r" else t for t in texts]
    assert {row[1] for row in rows[1:]} == {"-5"}  # a number is a number


def test_a_store_without_tables_says_what_to_do(client_of: MakeClient, tmp_path: Path) -> None:
    with closing(open_reader(ChdbSettings(str(tmp_path / "none")))) as reader:
        client = client_of(Console(ConsoleSettings(), builtin_fabric("lab"), reader=reader))
        answer = client.get(f"{API}/faults")
        assert answer.status_code == 503
        assert "there is no chDB store" in answer.json()["detail"]
        overview = get(client, "overview")
        assert overview["store"] is False
        assert "there is no chDB store" in overview["store_advice"]


def _operation(document: dict[str, Any], path: str) -> dict[str, Any]:
    for template, operations in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found: dict[str, Any] = operations["get"]
            return found
    raise AssertionError(f"{path} is not described")
