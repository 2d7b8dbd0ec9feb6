"""Shell completion, as a shell does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bytetracker.cli import main
from bytetracker.completing import OFFERS_MAX, element_names
from fabric.builtin import builtin_fabric
from fabric.inventory import dump_fabric

DEMO = builtin_fabric("demo")
_BASH = """
complete() { :; }  # of the interactive shell: the test calls the function itself
compopt() { printf 'compopt %s\\n' "$*"; }
eval "$(bytetracker completion bash)"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_bytetracker_completion bytetracker
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A PATH on which there is `bytetracker`, as installed."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "bytetracker"
    program.write_text(
        f"#!{sys.executable}\nfrom bytetracker.cli import main\nmain(prog_name='bytetracker')\n"
    )
    program.chmod(0o755)
    root = Path(__file__).resolve().parents[2]
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(root)}


def _bash(environment: dict[str, str], *words: str) -> list[str]:
    done = subprocess.run(
        ["bash", "-c", _BASH, "bash", "bytetracker", *words],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["d"], ["decode", "demo", "doctor"]),
        (["topics", ""], ["create"]),
        (["faults", "--fol"], ["--follow"]),
        (["faults", "--kind", "al"], ["alteration"]),
        (["faults", "--state", ""], ["open", "resolved"]),
        (["silence", "pod"], ["pod-1", "pod-2", "pod-3", "pod-4"]),
        (["silence", "--end", "prob"], ["prober-1", "prober-2"]),
        (["silence", "leaf-1-1~s"], ["leaf-1-1~spine-1", "leaf-1-1~spine-2"]),
        (["silence", "spine-3/l"], ["spine-3/lc-1", "spine-3/lc-2"]),
        (["path", "server-1-2-1"], ["server-1-2-1", "server-1-2-10", "server-1-2-11", "server-1-2-12"]),
        (["plan", "--fabric", "la"], ["compopt", "-o", "default", "lab", "large"]),
        (["completion", "z"], ["zsh"]),
    ],
)
def test_bash(environment: dict[str, str], words: list[str], offered: list[str]) -> None:
    assert _bash(environment, *words) == offered


def test_names_come_from_the_configuration(environment: dict[str, str], tmp_path: Path) -> None:
    inventory = tmp_path / "mine.yaml"
    inventory.write_text(dump_fabric(builtin_fabric("tiny")).replace("spine-1", "backbone"))
    config = tmp_path / "config.yaml"
    config.write_text(f"inventory: {inventory}\n")
    assert _bash(environment, "silence", "--config", str(config), "b") == ["backbone", "border-1"]
    assert _bash({**environment, "BYTETRACKER_CONFIG": str(config)}, "silence", "back") == ["backbone"]


def test_what_cannot_be_read_offers_nothing_and_says_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("inventory: [")
    for config in (str(broken), str(tmp_path / "none.yaml")):
        assert _bash({**environment, "BYTETRACKER_CONFIG": config}, "silence", "s") == []


@pytest.mark.parametrize(
    ("shell", "marks"), [("zsh", "compdef _bytetracker"), ("fish", "complete --no-files")]
)
def test_other_shells_get_their_script_and_answers(shell: str, marks: str) -> None:
    script = CliRunner().invoke(main, ["completion", shell], prog_name="bytetracker")
    assert script.exit_code == 0
    assert marks in script.stdout and f"_BYTETRACKER_COMPLETE={shell}_complete" in script.stdout
    asked = {"_BYTETRACKER_COMPLETE": f"{shell}_complete", "COMP_WORDS": "bytetracker silence pod"}
    asked["COMP_CWORD"] = "2" if shell == "zsh" else "pod"
    answered = CliRunner().invoke(main, [], prog_name="bytetracker", env=asked)
    assert [f"pod-{n}" in answered.stdout for n in (1, 4, 5)] == [True, True, False]


def test_an_unknown_shell_is_refused() -> None:
    refused = CliRunner().invoke(main, ["completion", "tcsh"], prog_name="bytetracker")
    assert refused.exit_code == 2
    assert "bash" in refused.stderr


def test_every_name_that_is_offered_is_an_element() -> None:
    from fabric.within import check_element

    offered = [*element_names(DEMO, "")]
    assert {"pod-1", "spine-1", "prober-2", "collector-1", "server-4-4-12"} <= set(offered)
    for begun in ("spine-1~", "spine-1/", "spine-1:"):
        found = [*element_names(DEMO, begun)]
        assert found and all(name.startswith(begun) for name in found)
        offered += found
    for name in offered:
        check_element(DEMO, name)
    assert not [*element_names(DEMO, "nobody~")] and not [*element_names(DEMO, "nobody/")]


def test_a_large_fabric_offers_no_more_than_can_be_read() -> None:
    asked = {"_BYTETRACKER_COMPLETE": "zsh_complete", "COMP_WORDS": "bytetracker path ", "COMP_CWORD": "2"}
    answered = CliRunner().invoke(
        main, [], prog_name="bytetracker", env={**asked, "BYTETRACKER_INVENTORY": "medium"}
    )
    assert len(answered.stdout.splitlines()) == 3 * OFFERS_MAX  # type, name and help each
