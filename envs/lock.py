"""Write the locks and the conda environment anew from requirements*.in: `make lock`.

The locks hold every package's version and hashes for Python 3.11 to 3.13, and no index's address.
The conda environment lists the same versions, because a file that conda copies elsewhere cannot
refer to the lock beside it; a test keeps the two equal.
"""

import re
import subprocess
import sys
from pathlib import Path

ENVS = Path(__file__).parent
COMPILE = (
    "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11",
    "--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header",
)  # fmt: skip


def pins(lock: str) -> list[str]:
    """The requirements of a lock without their hashes, as conda's pip section wants them."""
    requirements = re.findall(r"^(\S+==\S+)((?: ;[^\\\n]*)?)", lock, flags=re.MULTILINE)
    return [f"{pin}{marker}".strip() for pin, marker in requirements]


def conda_environment(lock: str) -> str:
    """The text of gallerist.yaml.

    conda has pip look for what packages need, which finds no tensorflow in tensorflow-cpu.
    """
    plain = [pin for pin in pins(lock) if not pin.startswith("tensorflow-cpu==")]
    plain = [pin.partition(" ")[0] if pin.startswith("tensorflow==") else pin for pin in plain]
    lines = [
        "# Written by `make lock` from requirements.lock; do not edit.",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        "  - python >=3.11,<3.14",
        "  - pip",
        "  - pip:",
        *(f'      - "{pin}"' for pin in plain),
    ]
    return "\n".join(lines).replace(" ; ", "; ") + "\n"


def compile_lock(source: str, target: str, *constraints: str) -> None:
    """Resolve one requirements file, keeping to the versions of the locks before it."""
    options = [option for file in constraints for option in ("-c", str(ENVS / file))]
    if source != "requirements-gpu.in":
        options += ["--overrides", str(ENVS / "overrides.in")]
    command = [*COMPILE, str(ENVS / source), *options, "-o", str(ENVS / target)]
    subprocess.run([sys.executable, "-m", *command], check=True)


if __name__ == "__main__":
    compile_lock("requirements.in", "requirements.lock")
    compile_lock("requirements-uv.in", "requirements-uv.lock")
    compile_lock("requirements-gpu.in", "requirements-gpu.lock", "requirements.lock")
    compile_lock("requirements-server.in", "requirements-server.lock", "requirements.lock")
    compile_lock("requirements-slurm.in", "requirements-slurm.lock", "requirements.lock")
    compile_lock("requirements-keras-hub.in", "requirements-keras-hub.lock", "requirements.lock")
    compile_lock(
        *("requirements-dev.in", "requirements-dev.lock", "requirements.lock"),
        "requirements-uv.lock",
    )
    lock = (ENVS / "requirements.lock").read_text(encoding="utf-8")
    (ENVS / "gallerist.yaml").write_text(conda_environment(lock), encoding="utf-8")
