"""What the shell offers where a name of the inventory is asked for. A shell that completes must print no
error: whatever cannot be read offers nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from fabric.model import Fabric

#: Offered at most: nobody reads more, and shells become slow.
OFFERS_MAX = 500


def offer_elements(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """Elements and pods of the configuration's inventory."""
    fabric = _fabric(context)
    return _items(element_names(fabric, begun)) if fabric is not None else []


def offer_servers(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """Its servers."""
    fabric = _fabric(context)
    return _items(n for n in fabric.server_by_name if n.startswith(begun)) if fabric is not None else []


def offer_fabrics(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Built-in fabrics, and files."""
    from fabric.builtin import SHAPES  # noqa: PLC0415 - only wanted while completing

    # Files first: bash forgets what was offered before them. They count where no name fits.
    names = [name for name in SHAPES if name.startswith(begun)]
    return [CompletionItem(begun, type="file"), *_items(names)]


def element_names(fabric: Fabric, begun: str) -> Iterator[str]:
    """What can be silenced and begins so: nodes and pods; chips, links and ports once their mark is typed."""
    switches = fabric.switch_by_name
    near = begun.split("~", maxsplit=1)[0].split("/", maxsplit=1)[0].split(":", maxsplit=1)[0]
    if "~" in begun:
        names: Iterable[str] = (link.name for link in fabric.links if link.from_name == near)
    elif "/" in begun:
        names = (chip.name for chip in switches[near].chips) if near in switches else ()
    elif ":" in begun:
        names = (f"{near}:{port.name}" for port in switches[near].ports) if near in switches else ()
    else:
        pods = sorted({switch.pod for switch in fabric.switches if switch.pod is not None})
        collectors = [collector.name for collector in fabric.collectors]
        names = [*pods, *switches, *fabric.prober_by_name, *collectors, *fabric.server_by_name]
    return (name for name in names if name.startswith(begun))


def _items(names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in islice(names, OFFERS_MAX)]


def _fabric(context: click.Context) -> Fabric | None:
    from bytetracker.settings import SettingsError, load_settings  # noqa: PLC0415
    from fabric.inventory import load_fabric  # noqa: PLC0415

    path = context.params.get("config_path")
    try:
        return load_fabric(load_settings(Path(path) if path else None).inventory)
    except (SettingsError, ValueError, OSError):  # an inventory's errors are ValueErrors
        return None
