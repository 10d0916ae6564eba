"""The plain run: how it runs the workflow's scripts, and is timed beside whole workflows."""

import re
from pathlib import Path

from benchmarks import plain

from gallerist.workflow import stage as stages


def test_sides_are_measured_in_turn_and_compared_within_a_round(monkeypatch, capsys, tmp_path):
    order = []

    def side(name, seconds):
        def run(*_):
            order.append(name)
            return {"processor": seconds.pop(0), "wall": 1.0}

        return run

    monkeypatch.setattr(plain, "run_plain", side("plain", [10.0, 20.0, 10.0]))
    monkeypatch.setattr(plain, "run_default", side("workflow", [20.0, 60.0, 40.0]))
    plain.compare_sides(3, [tmp_path])
    assert order == ["plain", "workflow"] * 3
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert rows[1] == "| plain | 10 | 1 | 1.00 | 1.00 |"
    assert re.fullmatch(r"\| .* \| 40 \| 1 \| 3\.00 \| 1\.00 \|", rows[2])


def test_the_processor_seconds_of_children_count(tmp_path):
    used = plain.measured(["bash", "-c", "bash -c 'for i in {1..300000}; do :; done'"], tmp_path)
    assert used["processor"] > 0.05
    assert used["wall"] >= used["processor"] / 2


WRITES = """
from gallerist.workflow.stage import stage
with stage(snakemake) as run:
    given, output = snakemake.input, snakemake.output
    open(output["made"], "w").write(f"{run.title}, {run.settings} of {given.pictures[1]}")
    run.made(output.made)
    run.metrics(images=2)
"""
READS = """
from gallerist.records.made import verify_output
from gallerist.records.record import read_record
from gallerist.workflow.stage import stage
with stage(snakemake) as run:
    verify_output(snakemake.input.made, snakemake.input.record)
    assert read_record(snakemake.input.record).metrics["images"] == 2
    open(snakemake.output.seen, "w").write(open(snakemake.input["made"]).read())
"""


def test_scripts_are_given_what_snakemake_gives_and_later_ones_find_their_records(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages, "stage", stages.stage)  # put back what is replaced
    made = {"made": "results/made.txt", "record": "results/made.record.json"}
    jobs = [
        (WRITES, {"pictures": ["a", "b"]}, made, {"settings": '{"bins": 4}'}),
        (READS, made, {"seen": "results/in/seen.txt"}, {}),
    ]
    for number, (script, *_) in enumerate(jobs):
        Path(f"{number}.py").write_text(script, encoding="utf-8")
    shared = {"wildcards": {"experiment": "hog"}, "threads": 1}
    shared["config"] = {"dataset": {"name": "tiny"}}
    used = plain.compute(
        [
            {"script": f"{number}.py", "input": files, "output": output, "params": params, **shared}
            for number, (_, files, output, params) in enumerate(jobs)
        ]
    )
    assert Path("results/in/seen.txt").read_text() == "tiny, hog, {'bins': 4} of b"
    assert used.keys() == {"0", "1"}
