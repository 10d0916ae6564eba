"""How the plain run is timed beside whole workflows; what it computes is compared by those."""

import re

from benchmarks import plain


def test_sides_are_measured_in_turn_and_compared_within_a_round(monkeypatch, capsys, tmp_path):
    order = []

    def side(name, seconds):
        def run(*_):
            order.append(name)
            return {"processor": seconds.pop(0), "wall": 1.0}

        return run

    monkeypatch.setattr(plain, "run_plain", side("plain", [10.0, 20.0, 10.0]))
    monkeypatch.setattr(plain, "run_workflow", side("workflow", [20.0, 60.0, 40.0]))
    plain.compare_sides(3, [tmp_path])
    assert order == ["plain", "workflow"] * 3
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert rows[1] == "| plain | 10 | 1 | 1.00 | 1.00 |"
    assert re.fullmatch(r"\| .* \| 40 \| 1 \| 3\.00 \| 1\.00 \|", rows[2])


def test_the_processor_seconds_of_children_count(tmp_path):
    used = plain.measured(["bash", "-c", "bash -c 'for i in {1..300000}; do :; done'"], tmp_path)
    assert used["processor"] > 0.05
    assert used["wall"] >= used["processor"] / 2
