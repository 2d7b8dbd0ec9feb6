"""The consumer that docs/alerts.md shows works as it stands there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions
from tests.alerts.events import event
from tests.alerts.hooks import until
from tests.alerts.rig import Faults
from tests.docs.pages import ROOT, page

pytestmark = pytest.mark.servers


def test_a_consumer_in_twenty_lines(tmp_path: Path) -> None:
    (code,) = [block for block in page("docs/alerts.md").code("python") if "Consumer" in block]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    script, output = tmp_path / "consumer.py", tmp_path / "output"
    script.write_text(code)
    with EmbeddedBroker(EmbeddedBrokerOptions(log_path=tmp_path / "broker.log")) as broker:
        faults = Faults(broker.bootstrap)
        faults.say("f1")
        faults.say("f2", silenced="planned")
        faults.say_again(event("f1"))
        with output.open("w") as written:
            consumer = subprocess.Popen(
                [sys.executable, str(script), broker.bootstrap], cwd=ROOT, stdout=written, stderr=written
            )
        try:
            faults.say("f1", "resolved", story="Over, with no sign of it for 15 s.")
            until(lambda: len(output.read_text().splitlines()) >= 2, 60.0)
        finally:
            consumer.kill()
            consumer.wait()
    assert output.read_text().splitlines() == [
        "open critical network_loss About 30 % of the probes from spine-1 to leaf-1-2 were lost (7 of 23).",
        "resolved critical network_loss Over, with no sign of it for 15 s.",
    ]
