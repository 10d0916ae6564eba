"""Where the lock can be installed: python envs/platforms.py; with --resolve, what it resolves for.

Without arguments it refuses, in one line, a machine that the lock has no packages for; `make` does
so before it installs anything. With --resolve it asks the index, without installing or downloading
a package, whether each stated platform gets all of them; `make lock` ends with that.
"""

import platform
import subprocess
import sys
from pathlib import Path

PLATFORMS = {
    # (system, machine) -> its name, the least version of its system or C library, uv's name of it,
    # and what has no wheel there and is compiled
    ("Linux", "x86_64"): ("Linux on x86-64", (2, 28), "x86_64-manylinux_2_28", ()),
    ("Linux", "aarch64"): (
        *("Linux on ARM, with a C++ compiler", (2, 35), "aarch64-manylinux_2_35"),
        ("mahotas",),
    ),
    ("Darwin", "arm64"): ("macOS on Apple silicon", (14, 0), "aarch64-apple-darwin", ()),
}
PYTHONS = ("3.11", "3.12", "3.13")

NO_WHEELS = ("connection-pool",)
"""Packages of Python alone that come as sources everywhere."""

LOCK = Path(__file__).with_name("requirements.lock")


def refusal(system, machine, version):
    """Why the lock cannot be installed there; None where it can.

    version: of macOS, or of the C library of Linux, as numbers; () where there is no glibc.
    """
    known = PLATFORMS.get((system, machine))
    if known is None:
        which = {"Darwin": "macOS", "Windows": "Windows itself"}.get(system, system)
        hint = " Use WSL, which is Linux." if system == "Windows" else ""
        return f"Gallerist's packages do not come for {which} on {machine}.{hint} {stated()}"
    name, least, _, _ = known
    if version < least:
        numbers = ".".join(map(str, version)) or "another C library"
        return f"Gallerist's packages do not come for {name} with {numbers}. {stated()}"
    return None


def stated():
    """The platforms that there are packages for, as a sentence."""
    return (
        "They come for Linux on x86-64 (glibc 2.28 or later), Linux on ARM (glibc 2.35, and a C++ "
        "compiler), and macOS 14 or later on Apple silicon: README.md."
    )


def this_machine():
    """The system, its machine and its version, as `refusal` takes them."""
    system = platform.system()
    numbers = platform.mac_ver()[0] if system == "Darwin" else platform.libc_ver()[1]
    found = tuple(int(each) for each in numbers.split(".")[:2] if each.isdigit())
    return system, platform.machine(), found


def resolve(name, compiled, python):
    """What uv says where the lock does not resolve for a platform; nothing where it does."""
    import install

    listed = subprocess.run([*install.PIP, "config", "list"], capture_output=True, text=True)
    settings = install.pip_settings(listed.stdout)
    sources = [word for package in (*NO_WHEELS, *compiled) for word in ("--no-binary", package)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--quiet"),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:", *sources),
            *("--python-platform", name, "--python-version", python),
            *("--target", str(LOCK.parent / "nowhere"), "-r", str(LOCK)),
            *install.uv_arguments(settings),
        ],
        env={**install.uv_environment(settings), "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        capture_output=True,
        text=True,
    )
    return "" if done.returncode == 0 else " ".join(done.stderr.split())


def main(arguments):
    """0 where all is well."""
    if arguments != ["--resolve"]:
        problem = refusal(*this_machine())
        if problem:
            print(problem, file=sys.stderr)
        return int(bool(problem))
    failed = 0
    for title, _, name, compiled in PLATFORMS.values():
        for python in PYTHONS:
            problem = resolve(name, compiled, python)
            failed += bool(problem)
            print(f"{title}, Python {python}: {problem or 'resolves'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
