"""`bytetracker inventory import`, and the export that its page shows."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from bytetracker.cli import main
from fabric.builtin import builtin_fabric
from fabric.importing.report import LEVEL_WORDS
from fabric.importing.roles import WORDS
from fabric.inventory import load_fabric
from tests.docs.pages import page
from tests.fabric.importing.sources import containerlab_of, netbox_of

HERE = Path(__file__).parent


def test_an_inventory_and_a_report_are_written(tmp_path: Path) -> None:
    source, output, report = tmp_path / "lab.clab.yml", tmp_path / "inventory.yaml", tmp_path / "report.json"
    source.write_text(containerlab_of(builtin_fabric("lab")))
    words = ["inventory", "import", "containerlab", str(source), "-o", str(output), "--report", str(report)]
    ran = CliRunner().invoke(main, words)
    assert ran.exit_code == 0, ran.output
    assert "It loads." in ran.stderr
    assert ran.stdout == ""
    assert set(load_fabric(output).links) == set(builtin_fabric("lab").links)
    document = json.loads(report.read_text())
    assert document["loads"] is True
    assert document["counts"]["switches"] == len(builtin_fabric("lab").switches)
    assert {finding["level"] for finding in document["findings"]} <= set(LEVEL_WORDS)
    # What is there may have been mended by hand.
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 1
    assert "exists already" in again.output


def test_gaps_make_the_exit_code_1_and_the_file_is_there_all_the_same(tmp_path: Path) -> None:
    output, report = tmp_path / "inventory.yaml", tmp_path / "report.json"
    words = [
        "inventory",
        "import",
        "netbox",
        str(HERE / "netbox.json"),
        "-o",
        str(output),
        "--report",
        str(report),
    ]
    ran = CliRunner().invoke(main, words)
    assert ran.exit_code == 1
    assert "does not load before 1 gap(s)" in ran.stderr
    (gap,) = [f for f in json.loads(report.read_text())["findings"] if f["level"] == "gap"]
    shown = CliRunner().invoke(main, ["fabric", "show", "--fabric", str(output)])
    assert shown.exit_code == 1
    assert f"{output}:{gap['line']}: fra1-spine-1: an address is MISSING" in shown.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--role", "leaf"], "no WORD=ROLE"),
        (["--target-prefix", "10.0.0.1/8"], "--target-prefix"),
        (["--numbers-from", str(HERE / "netbox.json")], "netbox.json"),
    ],
)
def test_bad_options_are_refused(words: list[str], message: str) -> None:
    ran = CliRunner().invoke(main, ["inventory", "import", "netbox", str(HERE / "netbox.json"), *words])
    assert ran.exit_code != 0
    assert message in ran.output
    assert "Traceback" not in ran.output


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.clab.yml"
    file.write_bytes(b"\xff\xfe\x00")
    ran = CliRunner().invoke(main, ["inventory", "import", "containerlab", str(file)])
    assert ran.exit_code == 1
    assert "not text in UTF-8" in ran.output


def test_words_are_documented() -> None:
    text = page("docs/inventory-import.md").text
    rows = {line.split("|")[1].strip(" `"): line for line in text.splitlines() if line.startswith("| `")}
    for role, words in WORDS:
        if role not in ("prober", "collector", "superspine"):
            assert words[0] in rows[role]
    assert all(f"| `{level}` |" in text for level in LEVEL_WORDS)


class _NetBox(BaseHTTPRequestHandler):
    """Lists in pages, as the API gives them; only to who has the token."""

    lists: dict[str, list[dict[str, object]]]

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Bearer nbt_x.y":
            self.send_error(403)
            return
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        records = self.lists[url.path]
        offset = int(query.get("offset", ["0"])[0])
        limit = min(int(query["limit"][0]), 7)  # as MAX_PAGE_SIZE would
        more = f"http://{self.headers['Host']}{url.path}?limit={limit}&offset={offset + limit}"
        page = {
            "count": len(records),
            "next": more if offset + limit < len(records) else None,
            "previous": None,
            "results": records[offset : offset + limit],
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(page).encode())

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


def test_the_export_that_the_page_shows_works(tmp_path: Path) -> None:
    original = builtin_fabric("lab")
    export = netbox_of(original)
    handler = type(
        "Handler",
        (_NetBox,),
        {
            "lists": {
                "/api/dcim/devices/": export["devices"],
                "/api/dcim/interfaces/": export["interfaces"],
                "/api/ipam/ip-addresses/": export["ip_addresses"],
                "/api/dcim/cables/": [],
            }
        },
    )
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script = tmp_path / "netbox_export.py"
    (shown,) = page("docs/inventory-import.md").code("python")
    script.write_text(shown)
    try:
        ran = subprocess.run(
            [sys.executable, str(script)],
            env=os.environ
            | {"NETBOX_URL": f"http://127.0.0.1:{server.server_port}", "NETBOX_AUTH": "Bearer nbt_x.y"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        server.shutdown()
        server.server_close()
    assert ran.returncode == 0, ran.stderr
    assert len(json.loads(ran.stdout)["devices"]) == len(export["devices"])
    file = tmp_path / "export.json"
    file.write_text(ran.stdout)
    imported = CliRunner().invoke(
        main, ["inventory", "import", "netbox", str(file), "-o", str(tmp_path / "i.yaml")]
    )
    assert imported.exit_code == 0, imported.output
    assert set(load_fabric(tmp_path / "i.yaml").links) == set(original.links)
