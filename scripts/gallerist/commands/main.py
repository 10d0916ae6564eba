"""The command `gallerist`: its commands, grouped as its help shows them."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from gallerist import LIBRARY
from gallerist.commands.browse import browse
from gallerist.commands.capsule import capsule
from gallerist.commands.collect import collect
from gallerist.commands.evaluate import evaluate
from gallerist.commands.explain import explain
from gallerist.commands.lint import lint
from gallerist.commands.options import FORESEEN
from gallerist.commands.prune import prune
from gallerist.commands.register import register
from gallerist.commands.search import search
from gallerist.commands.serve import serve
from gallerist.commands.submit import submit
from gallerist.commands.summary import summary
from gallerist.commands.sync import sync
from gallerist.commands.ui import ui
from gallerist.commands.unlock import unlock
from gallerist.commands.verify import verify
from gallerist.io.environment import settle

GROUPS = {
    "Look at results": (summary, browse, ui),
    "Search": (search,),
    "Evaluate": (evaluate, explain, lint),
    "Share": (register, serve, submit, capsule, verify),
    "Repair": (sync, prune, unlock, collect),
}
"""Heading -> its commands. Their modules import what they work with when they run."""


_COMPLETION = """\b
Completion of commands and of the experiments' names:
  bash  eval "$(_GALLERIST_COMPLETE=bash_source gallerist)"     in ~/.bashrc
  zsh   eval "$(_GALLERIST_COMPLETE=zsh_source gallerist)"      in ~/.zshrc
  fish  _GALLERIST_COMPLETE=fish_source gallerist | source      in ~/.config/fish/config.fish
"""


class _Gallerist(click.Group):
    """The commands below their headings."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each heading and its commands."""
        widest = max(map(len, self.commands))
        for heading, commands in GROUPS.items():
            names = [str(each.name).ljust(widest) for each in commands]
            texts = [each.get_short_help_str(limit=formatter.width) for each in commands]
            with formatter.section(heading):
                formatter.write_dl(list(zip(names, texts, strict=True)))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is named; who reads its output may stop reading."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 0
        return status


def _print_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from gallerist import CHECKOUT
        from gallerist.records.provenance import code_state, versions

        commit, dirty = code_state(CHECKOUT)
        changed = ", with changes" if dirty else ""
        print(f"gallerist {versions()['gallerist']} (commit {commit or 'unknown'}{changed})")
        context.exit()


@click.group(
    cls=_Gallerist,
    commands=[command for commands in GROUPS.values() for command in commands],
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
    epilog=_COMPLETION,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and the commit.",
)
def gallerist() -> None:
    """Look at what a workflow found, search for a picture, evaluate the rankings of any tool."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it succeeded, 1 with one line on stderr when it did not.

    Exits with status 2 where the arguments are not understood.
    """
    try:
        return gallerist.main(arguments, prog_name="gallerist", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        return 130
    except FORESEEN as error:
        print(f"gallerist: {error}", file=sys.stderr)
        return 1


def command() -> int:
    """Run the command of this process, whatever the environment says beside settings."""
    settle(LIBRARY.parent)
    return main()


if __name__ == "__main__":
    sys.exit(command())
