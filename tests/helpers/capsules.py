"""Capsules taken apart, changed and put together again, with their hashes or without."""

import hashlib
import json
import subprocess
import sys
import zipfile

from gallerist.capsule.contents import CONTENTS, digest_of

ONLY = """
import importlib.abc, os, runpy, sys, sysconfig

SITE = {os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
ALLOWED = {"numpy", "scipy", "pandas"}


class Refusal(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ALLOWED or top in sys.stdlib_module_names:
            return None
        for folder in SITE:
            for found in (top, top + ".py"):
                if os.path.exists(os.path.join(folder, found)):
                    raise ImportError(f"{name} of site-packages was refused")
        return None


sys.meta_path[:] = [
    Refusal(), *(f for f in sys.meta_path if "editable" not in getattr(f, "__name__", ""))
]
capsule = sys.argv[1]
sys.path[0] = capsule
runpy.run_path(capsule, run_name="__main__")
"""
"""Runs a capsule by its own code, where nothing is to be had but numpy, scipy and pandas."""


def files_of(capsule):
    """Name -> content of every file."""
    with zipfile.ZipFile(capsule) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(capsule, files, *, fix_hashes=False):
    """Write the files as a capsule; fix_hashes: with a list of hashes that fits them."""
    files = dict(files)
    if fix_hashes:
        hashes = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in files.items()
            if name != CONTENTS
        }
        listed = {"format": 1, "digest": digest_of(hashes), "files": hashes}
        files[CONTENTS] = json.dumps(listed).encode()
    with zipfile.ZipFile(capsule, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return capsule


def run_alone(capsule):
    """Run a capsule by itself, in a process that can import three packages only."""
    return subprocess.run(
        [sys.executable, "-I", "-c", ONLY, str(capsule)],
        capture_output=True,
        text=True,
        check=False,
        cwd=capsule.parent,
    )
