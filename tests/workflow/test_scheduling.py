"""How often Snakemake looks for jobs to begin."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import CHECKOUT

SNAKEFILE = f"""
include: "{CHECKOUT}/rules/scheduling.smk"
onstart: look_when_jobs_end()
rule all:
    input: expand("{{number}}", number=range(4))
rule one:
    output: "{{number}}"
    shell: "sleep 1.2; touch {{output}}"
"""
LOOK = "Resources before job selection"


@pytest.mark.parametrize(("asked", "again"), [("100/1s", False), ("99/1s", True)])
def test_snakemake_looks_for_jobs_when_one_has_ended(tmp_path, asked, again):
    """Once before each job; with a limit that somebody asked for, also a second after each look."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
    snakemake = Path(sys.executable).with_name("snakemake")
    done = subprocess.run(
        [snakemake, "--cores", "1", "--verbose", "--max-jobs-per-timespan", asked],
        cwd=tmp_path,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    jobs = 4 + 1  # and `all`
    assert (done.stderr.count(LOOK) > jobs) == again
