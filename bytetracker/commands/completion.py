"""`completion`: the script that makes a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

_SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
PROGRAM, VARIABLE = "bytetracker", "_BYTETRACKER_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(sorted(_SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what SHELL has to read to complete commands, options and names of the inventory.

    For bash, put this into ~/.bashrc: eval "$(bytetracker completion bash)". For zsh the same with zsh, into
    ~/.zshrc after compinit. For fish: bytetracker completion fish >
    ~/.config/fish/completions/bytetracker.fish. Names come from the inventory of --config, or of the variable
    BYTETRACKER_CONFIG.
    """
    click.echo(_SHELLS[shell](context.find_root().command, {}, PROGRAM, VARIABLE).source())
