"""The documentation is complete, and what can be tried in it works."""

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
import yaml

from bytetracker.cli import main
from bytetracker.run.report import RunReport
from bytetracker.settings import Settings, load_settings
from docs.generate.commands import commands
from docs.generate.metrics import metrics
from docs.generate.options import SECTIONS, default_text
from fabric.faults import KINDS, parse_spec
from fabric.inventory import load_fabric
from producers.plan_settings import PlanSettings
from schemas.topics import all_topics
from streams.verdict import Verdict
from tests.docs.pages import DOCS, ROOT, Page, page, pages


def test_generated_blocks_are_up_to_date() -> None:
    # In a process of its own: the store's engine opens one folder per process.
    command = [sys.executable, "-m", "docs.generate", "--check"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("where", pages(), ids=lambda each: each.name)
def test_links_lead_somewhere(where: Page) -> None:
    for link in where.links:
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (where.path.parent / file).resolve() if file else where.path
        assert target.exists(), f"{where.name}: {link}"
        if anchor:
            assert anchor in Page(target, target.read_text(encoding="utf-8")).anchors, f"{where.name}: {link}"


#: Files that a command writes; a fresh checkout has none of them.
WRITTEN_BY_USE = {"benchmarks/results/latest.json"}


@pytest.mark.parametrize("where", pages(), ids=lambda each: each.name)
def test_files_that_are_named_exist(where: Page) -> None:
    folders = "benchmarks|bytetracker|deploy|docs|fabric|producers|schemas|sinks|streams|tests"
    for file in re.findall(rf"`((?:{folders})/[\w/.-]+)`", where.text):
        if file not in WRITTEN_BY_USE:
            assert (ROOT / file).exists(), f"{where.name}: {file}"


def test_every_page_can_be_reached_from_the_index() -> None:
    linked = {(DOCS / link.split("#")[0]).resolve() for link in page("docs/index.md").links}
    for each in pages():
        if each.path.parent == DOCS and each.path.name != "index.md":
            assert each.path in linked, each.name


def test_every_command_and_option_is_documented() -> None:
    text = page("docs/cli.md").text
    for name, command in commands():
        section = text.partition(f"### {name}\n")[2].partition("\n### ")[0]
        assert section, name
        for option in command.params:
            if isinstance(option, click.Option):
                assert all(f"`{word}" in section for word in option.opts), (name, option.opts)
    for option in main.params:
        assert all(word in text for word in option.opts), option.opts


def test_every_kind_of_fault_is_documented_with_its_keys() -> None:
    text = page("docs/cli.md").text
    for name, kind in KINDS.items():
        row = re.search(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
        assert row is not None, name
        assert all(f"`{key}`" in row[0] for key in kind.parameters), name


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_is_documented_with_its_default(section: str) -> None:
    text = page("docs/configuration.md").text
    block = text.partition(f"<!-- generated: section {section} -->")[2].partition("<!-- end -->")[0]
    kind, elsewhere = SECTIONS[section]
    for field in dataclasses.fields(kind):
        if field.name not in elsewhere:
            assert f"| `{field.name}` | {default_text(section, field)} |" in block, field.name


def test_every_section_of_the_file_is_documented() -> None:
    headings = page("docs/configuration.md").anchors
    for name, field in Settings.model_fields.items():
        if field.default_factory is not None:
            assert f"section-{name}" in headings


def test_every_metric_is_documented() -> None:
    text = page("docs/metrics.md").text
    documented = [each for part in metrics().values() for each in part]
    assert documented
    for each in documented:
        assert re.search(rf"^\| `{each.name}` \| {each.kind} \|", text, re.MULTILINE), each.name


def test_every_topic_reason_and_verdict_is_documented() -> None:
    schema, architecture = page("docs/schema.md"), page("docs/architecture.md")
    for topic in all_topics():
        assert topic.name in schema.anchors
    for reason in _reasons_in_the_code():
        assert f"`{reason}`" in schema.text, reason
    for verdict in Verdict:
        assert f"`{verdict.label}`" in architecture.text, verdict


def _reasons_in_the_code() -> set[str]:
    sources = [path for folder in ("schemas", "streams", "sinks") for path in (ROOT / folder).rglob("*.py")]
    found = {m for path in sources for m in re.findall(r'BadMessage\(\s*"(\w+)"', path.read_text())}
    assert found
    return found


def test_report_in_the_readme_has_the_keys_of_a_report() -> None:
    text = page("README.md")
    documented = set(re.findall(r"^\| `(\w+)` \|", text.text.partition("## The report")[2], re.MULTILINE))
    assert set(RunReport().document()) <= documented
    shown = json.loads(text.code("json")[0])
    assert set(shown) <= documented


def _command_lines() -> Iterator[tuple[str, list[str]]]:
    for each in pages():
        for block in each.code("", "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith(("bytetracker ", ".venv/bin/bytetracker ")) and "[OPTIONS]" not in line:
                    yield each.name, shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize(("where", "words"), list(_command_lines()), ids=lambda value: str(value)[:60])
def test_commands_shown_are_commands(
    where: str, words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    command: click.Command = main
    context = click.Context(main, info_name="bytetracker")
    # Files that a reader would have: anything will do, nothing is run.
    folder = tmp_path_factory.mktemp("files")
    (folder / "file").touch()
    words = [_existing(word, str(folder)) for word in words]
    while isinstance(command, click.Group):
        while words[0].startswith("-"):
            words = words[2:] if words[0] == "--log-level" else words[1:]
        _, found, words = command.resolve_command(context, words)
        assert found is not None, where
        command = found
    context = command.make_context(command.name, words)
    fabric = load_fabric("lab" if command.name == "lab" else "demo")
    for spec in context.params.get("fault_specs") or ():
        parse_spec(spec, fabric)


@pytest.mark.parametrize("where", pages(), ids=lambda each: each.name)
def test_commands_in_sentences_exist_with_their_options(where: Page) -> None:
    for span in re.findall(r"`(bytetracker [^`]+)`", where.prose):
        words = shlex.split(span.replace("[", "").replace("]", ""))[1:]
        command: click.Command = main
        if words[:1] == ["--log-level"]:
            words = words[2:]
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(click.Context(command), words[0])
            if found is None:
                assert words[0].isupper(), f"{where.name}: {span}"  # COMMAND stands for any of them
                break
            command, words = found, words[1:]
        options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in {*options, "--help"}, f"{where.name}: {span}"


def _existing(word: str, folder: str) -> str:
    """A word that names a file or folder of the reader, replaced by one that is there."""
    if word.endswith("/store"):
        return folder
    theirs = (".pcap", ".pcapng", ".clab.yml", "export.json", "inventory.yaml")
    return f"{folder}/file" if word.endswith(theirs) or word in ("FILE", "FILE...") else word


def test_configurations_shown_are_accepted(tmp_path) -> None:  # type: ignore[no-untyped-def]
    shown = [block for each in pages() for block in each.code("yaml")]
    assert shown
    for number, block in enumerate(shown):
        document = yaml.safe_load(block)
        if document.get("kafka", {}).get("sasl_username"):
            document["kafka"]["sasl_password"] = "given by the environment"
        for receiver in document.get("alerts", {}).get("receivers", {}).values():
            receiver.setdefault("secret", "given by the environment")
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(document))
        settings = load_settings(file)
        plan = {field.name for field in dataclasses.fields(PlanSettings)}
        assert set(document.get("prober", {}).get("plan", {})) <= plan
        for section in document:
            reader = getattr(settings, f"{section}_settings", None)
            if reader is not None:
                reader()


_RUN_QUERIES = """
import json, sys, tempfile
from sinks.chdb_store import ChdbStore
from sinks.migrate import migrate
from sinks.settings import ChdbSettings

with tempfile.TemporaryDirectory() as folder:
    store = ChdbStore(ChdbSettings(path=folder))
    migrate(store)
    for query in json.load(sys.stdin):
        store.query(query)
    store.close()
"""


def test_queries_shown_are_understood_by_the_store() -> None:
    queries = [block for each in pages() for block in each.code("sql")]
    for each in pages():
        for block in each.code("", "sh"):
            queries += re.findall(r"bytetracker sql [^'\n]*(?:\\\n[^'\n]*)?'([^']+)'", block)
    assert len(queries) > 10
    ran = subprocess.run(
        [sys.executable, "-c", _RUN_QUERIES],
        cwd=ROOT,
        input=json.dumps(queries),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_decisions_are_numbered_and_say_why() -> None:
    found = sorted((DOCS / "decisions").glob("*.md"))
    numbers = [path.name[:4] for path in found]
    assert len(set(numbers)) == len(numbers), "a number is taken twice"
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:4]}: "), path.name
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], path.name


def test_licence_is_the_one_that_the_package_names() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()
