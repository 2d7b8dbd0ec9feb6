"""Who is let in and from where; the headers; names and texts that are full of markup come back as they
are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from console.context import Console
from console.models import Silence
from console.security import API, Asked, Guard
from console.settings import ConsoleSettings
from fabric.model import Fabric, Switch
from tests.console.api.conftest import MakeClient

TOKEN = "correct-horse-battery"
JSON = {"content-type": "application/json"}


class FakeSilencing:
    """In memory."""

    def __init__(self) -> None:
        self.silences: list[Silence] = []

    def silence(self, element: str, until_us: int, why: str, by: str, now_us: int) -> None:
        made = Silence(what="silence", element=element, from_us=now_us, until_us=until_us, why=why, by=by)
        self.silences.append(made)

    def end(self, element: str, by: str, now_us: int) -> None:
        self.silences = [each for each in self.silences if each.element != element]

    def held(self, now_us: int) -> list[Silence]:
        return list(self.silences)


def with_settings(console: Console, settings: ConsoleSettings) -> Console:
    return Console(settings, console.fabric, silencing=FakeSilencing())


def asked(
    path: str = f"{API}/overview", method: str = "GET", peer: str = "127.0.0.1", **headers: str
) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asked(method, path, peer, {"host": "127.0.0.1:8080", **named})


# --- tokens -------------------------------------------------------------------------------------------


def test_a_token_is_asked_for(bare: Console, client_of: MakeClient) -> None:
    client = client_of(with_settings(bare, ConsoleSettings(token=TOKEN)))
    refused = client.get(f"{API}/overview")
    assert refused.status_code == 401
    assert "token" in refused.json()["detail"]
    for path in ("fabric", "events", "openapi.json", "sql/tables", "faults/x", "no-such-thing"):
        assert client.get(f"{API}/{path}").status_code == 401, path
    assert client.post(f"{API}/sql", json={"sql": "SELECT 1"}).status_code == 401
    # The page itself has to load, or nobody could be asked.
    assert client.get("/").status_code == 200
    for wrong in ("", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é" * 20):
        assert client.post(f"{API}/login", json={"token": wrong}).status_code == 401, wrong
        header = {"Authorization": f"Bearer {wrong}".encode()}
        assert client.get(f"{API}/overview", headers=header).status_code == 401, wrong
    assert client.get(f"{API}/overview", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get(f"{API}/overview", headers={"Authorization": f"bearer  {TOKEN}"}).status_code == 200
    assert client.get(f"{API}/overview?token={TOKEN}").status_code == 401


def test_a_login_gives_a_cookie_that_scripts_cannot_read(bare: Console, client_of: MakeClient) -> None:
    client = client_of(with_settings(bare, ConsoleSettings(token=TOKEN)))
    answer = client.post(f"{API}/login", json={"token": TOKEN})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert TOKEN not in cookie
    assert "Secure" not in cookie
    assert client.get(f"{API}/overview").status_code == 200
    # Another console's cookie, or a made-up one, is worth nothing.
    other = Guard(ConsoleSettings(token=TOKEN + "2"))
    mine = Guard(ConsoleSettings(token=TOKEN))
    assert mine(asked(cookie=f"{mine.cookie_name}={mine.cookie_value}")).status == 0
    assert mine(asked(cookie=f'x="; {mine.cookie_name}={mine.cookie_value}')).status == 0
    assert mine(asked(cookie=f"{mine.cookie_name}={other.cookie_value}")).status == 401
    assert mine(asked(cookie=f"{mine.cookie_name}=")).status == 401
    secure = client_of(with_settings(bare, ConsoleSettings(token=TOKEN, secure_cookie=True)))
    assert "Secure" in secure.post(f"{API}/login", json={"token": TOKEN}).headers["set-cookie"]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "console.example"])
def test_without_a_lock_only_this_machine_is_served(host: str) -> None:
    with pytest.raises(ValueError, match=r"console\.token"):
        ConsoleSettings(host=host)
    ConsoleSettings(host=host, token=TOKEN)
    ConsoleSettings(host=host, proxy_header="X-User")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"token": "short"}, "openssl"),
        ({"proxy_header": "X User"}, "no name of a header"),
        ({"proxy_header": "X-User", "proxy_addresses": ("nowhere",)}, "proxy_addresses"),
        ({"port": 70_000}, "port"),
        ({"sql_rows_max": 0}, "sql_rows_max"),
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ConsoleSettings(**wrong)  # type: ignore[arg-type]


def test_the_token_is_not_shown() -> None:
    assert TOKEN not in repr(ConsoleSettings(token=TOKEN))


# --- a reverse proxy ------------------------------------------------------------------------------------


def test_a_proxys_header_is_taken_from_the_proxy_only() -> None:
    settings = ConsoleSettings(proxy_header="X-User", proxy_addresses=("192.0.2.0/28", "2001:db8::1"))
    guard = Guard(settings)
    for peer in ("192.0.2.3", "::ffff:192.0.2.3", "2001:db8::1"):
        verdict = guard(asked(peer=peer, x_user="alice"))
        assert (verdict.status, verdict.user) == (0, "alice"), peer
        assert guard(asked(peer=peer)).status == 401
        assert guard(asked(peer=peer, x_user="  ")).status == 401
    for peer in ("192.0.2.16", "127.0.0.1", "", "nonsense"):
        assert guard(asked(peer=peer, x_user="alice")).status == 401, peer
    assert guard(asked(peer="127.0.0.1", x_user="alice", x_forwarded_for="192.0.2.3")).status == 401


def test_either_lock_opens_with_its_own_key() -> None:
    guard = Guard(ConsoleSettings(token=TOKEN, proxy_header="X-User", proxy_addresses=("192.0.2.1",)))
    assert guard(asked(peer="192.0.2.1", x_user="alice")).status == 0
    assert guard(asked(peer="192.0.2.9", authorization=f"Bearer {TOKEN}")).status == 0
    assert guard(asked(peer="192.0.2.9", x_user="alice")).status == 401


def test_who_silences_is_whom_the_proxy_names(bare: Console, client_of: MakeClient) -> None:
    console = with_settings(bare, ConsoleSettings(proxy_header="X-User"))
    client = client_of(console)
    asking = {"element": "spine-1", "for_s": 60, "why": "optics", "by": "mallory"}
    made = client.post(f"{API}/silences", json=asking, headers={"X-User": "alice"}).json()
    assert made["by"] == "alice"
    assert client.get(f"{API}/overview", headers={"X-User": "alice"}).json()["user"] == "alice"


# --- other sites ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "LOCALHOST", "127.0.0.1"])
def test_names_of_this_machine(host: str) -> None:
    assert Guard(ConsoleSettings())(asked(host=host)).status == 0


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[", "a@127.0.0.1x"]
)
def test_names_that_others_made_point_here(host: str) -> None:
    """DNS rebinding: a page of evil.example would pass for one of ours."""
    assert Guard(ConsoleSettings())(asked(host=host)).status == 421
    assert Guard(ConsoleSettings(token=TOKEN))(asked(path="/", host=host)).status == 421


def test_names_that_the_operator_lists() -> None:
    guard = Guard(ConsoleSettings(host="192.0.2.1", token=TOKEN, host_names=("Console.example",)))
    good = f"Bearer {TOKEN}"
    assert guard(asked(host="console.example:8080", authorization=good)).status == 0
    assert guard(asked(host="evil.example", authorization=good)).status == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 0),
        ({"origin": "http://127.0.0.1:8080"}, 0),
        ({"origin": "https://127.0.0.1:8080", "sec_fetch_site": "same-origin"}, 0),
        ({"content_type": "application/json; charset=utf-8"}, 0),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9090"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": ""}, 415),
        ({"content_length": "10000000"}, 413),
        ({"content_length": "-1"}, 413),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "silences"), ("DELETE", "silences/x"), ("POST", "sql"), ("POST", "login"), ("PUT", "x")],
)
def test_changes_come_from_our_own_page(method: str, path: str, headers: dict[str, str], status: int) -> None:
    given = {"content_type": "application/json", **headers}
    assert Guard(ConsoleSettings())(asked(f"{API}/{path}", method, **given)).status == status


def test_a_body_without_a_length_ends_where_it_is_too_long(bare: Console, client_of: MakeClient) -> None:
    client = client_of(bare)

    def endless() -> object:
        yield b'{"sql": "'
        for _ in range(100):
            yield b"x" * 10_000
        yield b'"}'

    answer = client.post(f"{API}/sql", content=endless(), headers=JSON)  # type: ignore[arg-type]
    assert answer.status_code in (400, 413)


def test_every_answer_carries_the_headers(bare: Console, client_of: MakeClient) -> None:
    client = client_of(with_settings(bare, ConsoleSettings(token=TOKEN)))
    for path in ("/", "/static/main.js", f"{API}/overview", f"{API}/login", "/nothing", f"{API}/faults"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == ("no-store" if path.startswith(API) else "no-cache")
        assert "server" not in headers


def test_files_beside_the_page_are_not_served(bare: Console, client_of: MakeClient) -> None:
    client = client_of(bare)
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/app.py", "/static/"):
        assert client.get(path).status_code in (404, 405), path


# --- what can be changed --------------------------------------------------------------------------------


def test_silences_come_and_go(bare: Console, client_of: MakeClient) -> None:
    client = client_of(with_settings(bare, ConsoleSettings()))
    link = "leaf-1-1~spine-1"
    asking = {"element": link, "for_s": 90, "why": " new optics ", "by": "alice"}
    made = client.post(f"{API}/silences", json=asking).json()
    assert (made["why"], made["until_us"] - made["from_us"]) == ("new optics", 90_000_000)
    assert client.get(f"{API}/silences").json() == [made]
    assert client.request("DELETE", f"{API}/silences/{link}", json={}).status_code == 200
    assert client.get(f"{API}/silences").json() == []
    for wrong in ({"for_s": 0}, {"why": ""}, {"element": ""}, {"for_s": 10**12}, {"more": 1}):
        assert client.post(f"{API}/silences", json={**asking, **wrong}).status_code == 422, wrong
    assert client.post(f"{API}/silences", json={**asking, "why": "  "}).status_code == 400


def test_a_read_only_console_changes_nothing(bare: Console, client_of: MakeClient) -> None:
    console = with_settings(bare, ConsoleSettings(read_only=True))
    client = client_of(console)
    answer = client.post(f"{API}/silences", json={"element": "spine-1", "for_s": 60, "why": "x"})
    assert answer.status_code == 403
    assert client.request("DELETE", f"{API}/silences/spine-1", json={}).status_code == 403
    assert client.get(f"{API}/overview").json()["read_only"] is True


def test_without_store_and_broker_it_says_what_is_missing(bare: Console, client_of: MakeClient) -> None:
    client = client_of(bare)
    for path in ("faults", "probes", "matrix", "coverage", "health", "sql/tables", "silences", "faults/x"):
        answer = client.get(f"{API}/{path}")
        assert answer.status_code == 503, path
        assert "without a store" in answer.json()["detail"]
    assert client.post(f"{API}/sql", json={"sql": "SELECT 1"}).status_code == 503
    assert client.get(f"{API}/fabric").status_code == 200
    overview = client.get(f"{API}/overview").json()
    assert (overview["store"], overview["broker"]) == (False, False)


# --- names are data -------------------------------------------------------------------------------------

NASTY = "<img src=x onerror=alert(1)>'; DROP TABLE slots; -- ${7*7} \u202e"


def renamed(fabric: Fabric) -> Fabric:
    """A switch that is called something else, everywhere."""
    old = fabric.switches[0].name

    def new(switch: Switch) -> Switch:
        ports = tuple(replace(p, peer=NASTY) if p.peer == old else p for p in switch.ports)
        return replace(switch, ports=ports, name=NASTY if switch.name == old else switch.name)

    return replace(
        fabric,
        switches=tuple(new(switch) for switch in fabric.switches),
        servers=tuple(replace(s, tor=NASTY) if s.tor == old else s for s in fabric.servers),
        probers=tuple(replace(p, switch=NASTY) if p.switch == old else p for p in fabric.probers),
    )


def test_names_full_of_markup_and_sql_come_back_as_they_are(bare: Console, client_of: MakeClient) -> None:
    client = client_of(Console(ConsoleSettings(), renamed(bare.fabric)))
    assert NASTY in {switch["name"] for switch in client.get(f"{API}/fabric").json()["switches"]}
    found = client.get(f"{API}/search", params={"q": "onerror"}).json()
    assert {"kind": "switch", "name": NASTY} in found
    detail = client.get(f"{API}/fabric/switches/{_quoted(NASTY)}")
    assert detail.json()["name"] == NASTY
    missing = client.get(f"{API}/fabric/switches/{_quoted('<b>' + NASTY)}")
    assert missing.status_code == 404
    assert "<b>" in missing.json()["detail"]
    for answer in (detail, missing):
        # No browser takes it for a page.
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def _quoted(text: str) -> str:
    return quote(text, safe="")


def test_the_fabric_is_packed_and_not_sent_twice(bare: Console, client_of: MakeClient) -> None:
    client: TestClient = client_of(bare)
    answer = client.get(f"{API}/fabric", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json() == client.get(f"{API}/fabric", headers={"Accept-Encoding": "identity"}).json()
    again = client.get(f"{API}/fabric", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_no_page_of_the_framework_fetches_from_elsewhere(bare: Console, client_of: MakeClient) -> None:
    client = client_of(bare)
    for path in ("/docs", "/redoc", f"{API}/docs", f"{API}/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404, path
    index = (Path(__file__).parents[3] / "console/static/index.html").read_text()
    assert "//" not in index.replace("<!--", "").replace("http://www.w3.org/2000/svg", "")
