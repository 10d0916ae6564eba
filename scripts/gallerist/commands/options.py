"""What commands share: their configuration, the names of its experiments, errors of the user's."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import click

DEFAULT_CONFIG = "config/config.yaml"
RESULTS = "results"
"""The folder, below the working directory, that everything produced goes to."""

FORESEEN = (ValueError, RuntimeError, OSError)
"""Errors whose message says it all."""

_OPTION = "--configfile"


class Command(click.Command):
    """A command that takes `--configfile FILE FILE`, as Snakemake does, where click takes one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each of its files."""
        words: list[str] = []
        inside = False
        for word in args:
            inside = word == _OPTION or (inside and not word.startswith("-"))
            if inside and word != _OPTION and words[-1] != _OPTION:
                words.append(_OPTION)
            words.append(word)
        return super().parse_args(ctx, words)


command = functools.partial(click.command, cls=Command)
beside_snakemake = functools.partial(
    command, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
"""A command that `make` gives the arguments of Snakemake: only --configfile concerns it."""

configfile_option = click.option(
    *(_OPTION, "configfiles"),
    multiple=True,
    metavar="FILE...",
    help=f"Later files are laid over earlier ones.  [default: {DEFAULT_CONFIG}]",
)


def with_configuration(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--configfile`, and its function the completed configuration first."""

    @functools.wraps(function)
    def configured(configfiles: Sequence[str], **options: Any) -> Any:
        return function(read_configuration(configfiles), **options)

    return configfile_option(configured)


def read_configuration(files: Sequence[str]) -> dict[str, Any]:
    """The completed configuration. Each problem is printed, and ends the command with status 1."""
    from gallerist.config.completion import ConfigurationError, read
    from gallerist.config.reading import Unreadable

    files = files or [DEFAULT_CONFIG]
    try:
        return read(*files)
    except ConfigurationError as error:
        place = "" if isinstance(error, Unreadable) else f"{', '.join(files)}: "
        for problem in error.problems:
            click.echo(f"{place}{problem}", err=True)
        raise click.exceptions.Exit(1) from error


def complete_experiment(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """The experiments whose names begin so; none where the configuration cannot be read."""
    from gallerist.config.completion import read

    try:
        config = read(*(context.params.get("configfiles") or [DEFAULT_CONFIG]))
    except FORESEEN:
        return []
    return [name for name in config["experiments"] if name.startswith(incomplete)]


def experiment_option(text: str, **settings: Any) -> Callable[..., Any]:
    """The option `--experiment NAME`."""
    return click.option(
        "--experiment", metavar="NAME", shell_complete=complete_experiment, help=text, **settings
    )
