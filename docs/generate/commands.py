"""Blocks of docs/cli.md: every command and option, as the command line itself knows them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from bytetracker.cli import main
from docs.generate.markdown import Block, code, table


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the words that call it."""
    yield from _below("bytetracker", main)


def blocks() -> dict[str, Block]:
    return {
        "commands": lambda: "\n\n".join(_section(name, command) for name, command in commands()),
        "global options": lambda: _options(main),
    }


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    for word, each in command.commands.items():
        yield from _below(f"{name} {word}", each)


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    help_text = " ".join((command.help or "").split())
    return f"### {name}\n\n```\n{name} {usage}\n```\n\n{help_text}\n\n{_options(command)}".rstrip()


def _options(command: click.Command) -> str:
    context = click.Context(command)
    rows = []
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        *short, name = option.opts
        # Flags take nothing; what the others take is in their metavar.
        value = "" if option.is_flag else f" {_value_name(option, context)}"
        shown = option.default if option.show_default and not option.is_flag else ""
        written = ", ".join(map(code, (*short, name + value)))
        rows.append([written, option.help or "", code(shown)])
    return table(["Option", "Meaning", "Default"], rows) if rows else ""


def _value_name(option: click.Option, context: click.Context) -> str:
    """What an option takes, as one would say it."""
    if isinstance(option.type, click.IntRange | click.FloatRange) and option.name:
        return "N" if isinstance(option.type, click.IntRange) else option.name.upper()
    return option.make_metavar(context)
