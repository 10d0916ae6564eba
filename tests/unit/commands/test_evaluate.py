"""gallerist evaluate, typed where there is no configuration, on files of several forms."""

import csv
import json
import re

import numpy as np
import pytest

from gallerist.commands.main import main
from gallerist.evaluation.bootstrap import IntervalSettings, macro_mean_intervals, mean_intervals
from gallerist.evaluation.external_evaluation import Task, evaluate_files
from gallerist.evaluation.significance import all_pairs
from gallerist.evaluation.tables import read_queries
from gallerist.io.errors import UserError
from gallerist.search.ranking import Ranking

CLASSES = ("ant", "bee", "cow")
GALLERY = [f"g{number}" for number in range(12)]
QUERIES = [f"q{number}" for number in range(24)]
LABEL_OF = {name: CLASSES[int(name[1:]) % 3] for name in [*GALLERY, *QUERIES]}


def ranked(seed, skill):
    """A ranking of the whole gallery; right pictures come earlier with more skill."""
    generator = np.random.default_rng(seed)
    answers, distances = [], []
    for query in QUERIES:
        right = np.array([LABEL_OF[name] == LABEL_OF[query] for name in GALLERY])
        away = generator.random(len(GALLERY)) - skill * right + 10
        order = np.argsort(away)
        answers.append(tuple(GALLERY[row] for row in order))
        distances.append(tuple(np.round(away[order], 6).tolist()))
    return Ranking(tuple(QUERIES), tuple(answers), tuple(distances))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder without any configuration, with two rankings, a cut one, and the truth."""
    monkeypatch.chdir(tmp_path)
    good, poor = ranked(1, 0.9), ranked(2, 0.1)
    good.write("good.csv")
    poor.write("poor.csv")
    cut = (tuple(row[:2] for row in rows) for rows in (poor.answers, poor.distances))
    Ranking(poor.query_ids, *cut).write("cut.csv")
    rows = [f"{name},{LABEL_OF[name]},gallery,{name}" for name in GALLERY]
    rows += [
        f"{name},{LABEL_OF[name]},query,o{int(name[1:]) // 6}{LABEL_OF[name]}" for name in QUERIES
    ]
    rows += ["d,distractor,query,d"]
    (tmp_path / "truth.csv").write_text("\n".join(["id,label,part,source_id", *rows]))
    pairs = [f"{q},{g}" for q in QUERIES for g in GALLERY if LABEL_OF[q] == LABEL_OF[g]]
    (tmp_path / "pairs.csv").write_text("\n".join(["query_id,gallery_id", *pairs]))
    return tmp_path


def figures(here, *arguments):
    """What a command writes as JSON."""
    assert main(["evaluate", *arguments, "--json", "figures.json"]) == 0
    return json.loads((here / "figures.json").read_text())


def hits(name, k):
    """(queries,) whether one of the first k answers is right, by nothing but the file."""
    with open(f"{name}.csv", newline="") as file:  # noqa: PTH123
        rows = [row for row in csv.DictReader(file) if int(row["rank"]) <= k]
    found = dict.fromkeys(QUERIES, 0.0)
    for row in rows:
        if LABEL_OF[row["query_id"]] == LABEL_OF[row["gallery_id"]]:
            found[row["query_id"]] = 1.0
    return np.array(list(found.values()))


def table(said):
    """Metric -> the cells of its line."""
    lines = [re.split(r" {2,}", line) for line in said.splitlines()]
    head = next(number for number, line in enumerate(lines) if line[0] == "metric")
    return {line[0]: line[1:] for line in lines[head + 1 :] if len(line) == len(lines[head])}


def test_a_ranking_is_evaluated_without_any_configuration(here, capsys):
    # The distractor has no right picture, and need not be ranked.
    assert main(["evaluate", "poor.csv", "truth.csv"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("poor  (poor.csv)\n")
    assert (
        "24 queries evaluated (of 12 originals); 1 excluded, which have no relevant picture; "
        in said
    )
    assert "gallery of 12 pictures" in said
    expected = hits("poor", 3)
    originals = [f"{int(name[1:]) // 6}{LABEL_OF[name]}" for name in QUERIES]
    labels = [LABEL_OF[name] for name in QUERIES]
    drawn = IntervalSettings(99)
    overall = mean_intervals({"top-3": expected}, originals, drawn)["top-3"]
    macro = macro_mean_intervals({"top-3": expected}, originals, labels, drawn)["top-3"]
    assert table(said)["top-3"] == [
        cell
        for each in (overall, macro)
        for cell in (f"{each.mean:.4f}", f"{each.low:.4f} to {each.high:.4f}")
    ]
    assert list(table(said)) == [
        *("top-1", "top-3", "top-5", "top-10"),
        *("mAP", "mAP@10", "R-precision", "MRR", "nDCG@10"),
    ]


def test_the_same_command_gives_the_same_figures_and_another_seed_other_intervals(here):
    first = figures(here, "poor.csv", "truth.csv", "--rounds", "1000")
    assert figures(here, "truth.csv", "poor.csv", "--rounds", "1000") == first
    other = figures(here, "poor.csv", "truth.csv", "--rounds", "1000", "--seed", "7")
    one, two = (each["rankings"]["poor"]["metrics"]["mAP"] for each in (first, other))
    assert one["mean"] == two["mean"]
    assert one["low"] != two["low"]


def test_metrics_and_ks_are_those_asked_for(here, capsys):
    asked = ["--metrics", "mAP@R, nDCG@5,hit rate@2", "--k", "2,4"]
    found = figures(here, "poor.csv", "truth.csv", *asked)["rankings"]["poor"]
    assert list(found["metrics"]) == ["top-2", "top-4", "mAP@R", "nDCG@5", "hit rate@2"]
    assert found["metrics"]["top-2"] == found["metrics"]["hit rate@2"]
    assert found["metrics"]["top-2"]["mean"] == hits("poor", 2).mean()
    assert list(table(capsys.readouterr().out)) == list(found["metrics"])


def test_what_a_truncated_ranking_leaves_unknown_is_reported_and_not_guessed(here, capsys):
    found = figures(here, "cut.csv", "truth.csv", "--k", "1,2", "--metrics", "mAP,precision@2")
    (cut,) = found["rankings"].values()
    assert list(cut["metrics"]) == ["top-1", "top-2", "precision@2"]
    assert list(cut["unknown"]) == ["mAP"]
    said = capsys.readouterr().out
    assert "unknown: mAP cannot be known: the ranking of 24 of 24 queries ends at rank 2" in said
    assert main(["evaluate", "cut.csv", "truth.csv", "--k", "5", "--metrics", "mAP"]) == 0
    said = capsys.readouterr().out
    assert said.count("unknown: ") == 2
    assert "interval" not in said


def test_pairs_give_the_same_means_and_none_over_classes(here, capsys):
    classes = figures(here, "poor.csv", "truth.csv")["rankings"]["poor"]
    capsys.readouterr()
    pairs = figures(here, "poor.csv", "pairs.csv")["rankings"]["poor"]
    said = capsys.readouterr().out
    assert "size of the gallery unknown" in said
    assert "mean of classes" not in said
    for name, each in pairs["metrics"].items():
        assert each["mean"] == pytest.approx(classes["metrics"][name]["mean"], abs=1e-12)
        assert set(each) == {"mean", "low", "high"}


def test_trec_files_written_of_a_ranking_are_evaluated_alike(here):
    means = figures(here, "poor.csv", "truth.csv", "--to-run", "run", "--to-qrels", "qrels")[
        "rankings"
    ]["poor"]["metrics"]
    again = figures(here, "run", "qrels")["rankings"]["run"]
    assert (again["queries"], again["queries_excluded"]) == (24, 0)
    assert {name: each["mean"] for name, each in again["metrics"].items()} == {
        name: pytest.approx(each["mean"], abs=1e-12) for name, each in means.items()
    }
    assert (here / "run").read_text().splitlines()[0].endswith(" 1 12 poor")


def test_the_queries_are_listed_as_the_workflow_lists_them(here):
    assert main(["evaluate", "poor.csv", "truth.csv", "--queries", "queries.csv"]) == 0
    read = read_queries("queries.csv")
    assert read.queries == tuple(QUERIES)
    assert read.labels == tuple(LABEL_OF[name] for name in QUERIES)
    assert read.values["top-3"].tolist() == hits("poor", 3).tolist()
    with (here / "queries.csv").open(newline="") as file:
        rows = {row["query_id"]: row for row in csv.DictReader(file)}
    assert rows["d"]["first_right"] == "excluded"
    for name, row in rows.items():
        if name != "d":
            assert (int(row["first_right"]) <= 3) == (row["top-3"] == "1")


def test_queries_that_only_the_ranking_has_are_listed_as_excluded(here):
    (here / "fewer").write_text("q0 0 g0 1\nq1 0 g1 1\n")
    assert main(["evaluate", "cut.csv", "fewer", "--k", "1", "--queries", "queries.csv"]) == 0
    with (here / "queries.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["query_id"] for row in rows][:2] == ["q0", "q1"]
    assert sum(row["first_right"] == "excluded" for row in rows) == 22


def test_two_rankings_are_compared_by_paired_tests(here, capsys):
    found = figures(here, "good.csv", "poor.csv", "truth.csv", "--k", "1,3", "--metrics", "mAP")
    said = capsys.readouterr().out
    groups = [f"{int(name[1:]) // 6}{LABEL_OF[name]}" for name in QUERIES]
    values = {name: hits(name, 1) for name in ("good", "poor")}
    (expected,) = all_pairs(values, groups, seed=99)
    first = found["differences"][0]
    assert (first["metric"], first["first"], first["second"]) == ("top-1", "good", "poor")
    assert first["p"] == expected.p_value
    assert first["difference"] == pytest.approx(values["good"].mean() - values["poor"].mean())
    by_metric = {each["metric"]: each for each in found["differences"]}
    assert set(by_metric) == {"top-1", "top-3", "mAP"}
    assert by_metric["mAP"]["different"]
    assert re.search(
        r"^mAP: good is better than poor by 0\.\d{4} \(0\.\d{4} to 0\.\d{4}\), p = ", said, re.M
    )


def test_the_better_one_is_named_in_whatever_order_they_come(here):
    report = evaluate_files(Task(["poor.csv", "good.csv", "truth.csv"], ["mAP"], [1]))
    low, high = re.search(
        r"mAP: good is better than poor by \S+ \((\S+) to (\S+)\)", report
    ).groups()
    assert 0 < float(low) < float(high)


def test_rankings_that_are_alike_are_not_distinguished(here):
    ranked(1, 0.9).write("twin/good.csv")
    report = evaluate_files(Task(["good.csv", "twin/good.csv", "truth.csv"], ["mAP"], [1]))
    assert "mAP: no difference shown between good.csv and twin/good.csv, p = 1" in report
    assert "better" not in report


def test_one_original_has_no_interval_and_that_is_reported(here):
    (here / "one").write_text("q0 0 g0 1\n")
    (here / "run").write_text("q0 Q0 g1 1 2 t\nq0 Q0 g0 2 1 t\n")
    report = evaluate_files(Task(["run", "one"], ["MRR"], [1]))
    assert table(report) == {"top-1": ["0.0000", "-"], "MRR": ["0.5000", "-"]}
    assert "no interval: all queries are of one original" in report


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["poor.csv"], "there is no truth among the files"),
        (["truth.csv"], "there is no ranking among the files"),
        (["poor.csv", "nowhere.csv"], "No such file"),
        (["poor.csv", "truth.csv", "--metrics", "map"], "Did you mean mAP?"),
        (["poor.csv", "truth.csv", "--k", "0"], "'hit rate@0' is not a metric"),
        (["poor.csv", "truth.csv", "--rounds", "10"], "10 rounds are too few"),
        (["poor.csv", "good.csv", "truth.csv", "--queries", "q.csv"], "are for one ranking"),
        (["poor.csv", "good.csv", "truth.csv", "--to-run", "run"], "are for one ranking"),
        (["odd", "truth.csv"], "odd begins with 'what?', which is none of the forms"),
        (["few.csv", "truth.csv"], "few.csv: 23 queries of the truth are not in the ranking, q1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_the_reason(here, capsys, arguments, reason):
    (here / "odd").write_text("what?\n")
    (here / "few.csv").write_text("query_id,rank,gallery_id\nq0,1,g0\n")
    before = sorted(here.iterdir())
    assert main(["evaluate", *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("gallerist: ")
    assert reason in said.err
    assert sorted(here.iterdir()) == before


def test_the_configuration_is_still_asked_for_where_one_is_needed(here, capsys):
    assert main(["summary"]) == 1
    assert "there is no file config/config.yaml" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "poor.csv", "truth.csv", "--configfile", "x.yaml"])
    with pytest.raises(UserError, match="there is no ranking among the files"):
        evaluate_files(Task([]))
