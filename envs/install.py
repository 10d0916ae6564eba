"""Install with uv, as pip is configured: python envs/install.py ARGUMENT...

The arguments are those of `pip install` that uv has too. uv takes a fifth of pip's processor time
and links files from its cache, but reads none of pip's configuration: what names an index,
credentials in its address included, or says how to reach one is handed over. Where uv cannot be
had or does not manage it, pip installs.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
UV_LOCK = Path(__file__).with_name("requirements-uv.lock")
OPTIONS = {
    "index-url": "--default-index",
    "extra-index-url": "--extra-index-url",
    "find-links": "--find-links",
    "trusted-host": "--allow-insecure-host",
}
"""Options of pip, each with its values, -> those of uv."""

VARIABLES = {"cert": "SSL_CERT_FILE", "proxy": "ALL_PROXY", "timeout": "UV_HTTP_TIMEOUT"}
"""Options of pip -> variables that uv reads."""


def pip_settings(listed: str) -> dict[str, str]:
    """What `pip config list` says, as pip takes it: a variable before [install] before [global]."""
    settings = {}
    for section in ("global", "install", ":env:"):
        for line in listed.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(f"{section}."):
                option = name.removeprefix(f"{section}.").removeprefix("default-")
                settings[option] = str(ast.literal_eval(value))
    return settings


def uv_arguments(settings: dict[str, str]) -> list[str]:
    """The options by which uv looks for packages where pip does: the best match of all indexes."""
    arguments = ["--index-strategy", "unsafe-best-match"]
    for ours, theirs in OPTIONS.items():
        for value in settings.get(ours, "").split():
            arguments += [theirs, value]
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        arguments += ["--no-index"]
    return arguments


def uv_environment(settings: dict[str, str]) -> dict[str, str]:
    """Variables of uv, where the user has set none; this environment is what it installs into."""
    given = {theirs: settings[ours] for ours, theirs in VARIABLES.items() if ours in settings}
    return {**given, **os.environ, "VIRTUAL_ENV": sys.prefix}


def install_with_uv(arguments: list[str]) -> bool:
    """Whether uv, which pip brings, has installed it."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=True)
    settings = pip_settings(listed.stdout)
    bring = [*PIP, "install", "--require-hashes", "--only-binary=:all:", "-r", str(UV_LOCK)]
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", *uv_arguments(settings)]
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        # Otherwise every process would compile all that it imports.
        command += ["--compile-bytecode"]
    return not (
        subprocess.run(bring).returncode
        or subprocess.run([*command, *arguments], env=uv_environment(settings)).returncode
    )


if __name__ == "__main__":
    if not install_with_uv(sys.argv[1:]):
        print("uv has not managed it; pip is tried", file=sys.stderr)
        sys.exit(subprocess.run([*PIP, "install", *sys.argv[1:]]).returncode)
