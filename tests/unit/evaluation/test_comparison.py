"""The comparison as a table, a Markdown page and an HTML page."""

import math
import statistics
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallerist.evaluation.comparison import (
    hit_rates,
    intervals,
    metric_table,
    spread,
    summarise_seeds,
    table_rows,
    write_seeds,
    write_table,
)
from gallerist.evaluation.comparison_page import find_caveats, format_html, format_markdown
from gallerist.records.record import Record

RATES = {"top-1": 0.93833, "top-3": 0.9533, "top-5": 0.955, "top-10": 0.96}
COSTS = {
    "weights": "ImageNet", "epochs": 12, "training s": 1234.56, "frozen layers s": 78.9,
    "extraction images/s": 5.64, "parameters": 58_370_944, "trained": 0, "feature length": 100_352,
    "index recall": 0.975, "queries": 600, "excluded": 2,
}  # fmt: skip
ROW = {"experiment": "resnet152", **RATES, **COSTS}
SCRATCH = {"top-1": 0.17, "top-3": 0.4, "top-5": 0.511, "top-10": 0.6367}
ROWS = [ROW, {**ROW, "experiment": "scratch", **SCRATCH}]
COLUMNS = [
    "experiment", "top-1", "top-3", "top-5", "top-10", "weights", "epochs", "training s",
    "frozen layers s", "extraction images/s", "parameters", "trained", "feature length",
    "index recall", "queries", "excluded",
]  # fmt: skip
FIRST_LINE = [
    "resnet152", "0.9383", "0.9533", "0.9550", "0.9600", "ImageNet", "12", "1234.6", "78.9", "5.6",
    "58,370,944", "0", "100,352", "0.9750", "600", "2",
]  # fmt: skip


class Tables(HTMLParser):
    """The cells of every row, and whether every element is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.items: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "li":
            self.items.append("")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] == "li":
            self.items[-1] += data


def rendered(text: str) -> Tables:
    markdown_it = pytest.importorskip("markdown_it")
    return Tables(markdown_it.MarkdownIt("commonmark").enable("table").render(text))


def test_the_table_keeps_all_digits_and_its_order_as_csv(tmp_path):
    import pandas as pd

    write_table(tmp_path / "comparison.csv", ROWS)
    read = pd.read_csv(tmp_path / "comparison.csv")
    assert list(read.columns) == COLUMNS
    assert read.to_dict("records") == ROWS


def test_the_markdown_page_is_a_table_for_a_markdown_reader():
    text = format_markdown(ROWS, title="monkeys10", caveats=["first note", "second note"])
    assert rendered(text).rows == [COLUMNS, FIRST_LINE, rendered(text).rows[2]]
    assert rendered(text).rows[2][:2] == ["scratch", "0.1700"]
    assert rendered(text).items == ["first note", "second note"]
    assert text.startswith("# monkeys10\n\n")
    assert text.endswith("- second note\n")


def test_the_columns_of_the_markdown_page_are_aligned_for_the_eye():
    lines = [
        line
        for line in format_markdown(ROWS, title="t", caveats=[]).splitlines()
        if line[:1] == "|"
    ]
    assert len(lines) == 4
    assert len({tuple(i for i, c in enumerate(line) if c == "|") for line in lines}) == 1


def test_a_page_without_notes_ends_after_its_definitions():
    text = format_markdown(ROWS, title="t", caveats=[])
    assert text.endswith("in the gallery.\n")
    assert rendered(text).items == []


def test_the_html_page_has_the_same_cells():
    read = Tables(format_html(ROWS, title="monkeys10", caveats=["a note"]))
    assert read.rows[:2] == [COLUMNS, FIRST_LINE]
    assert len(read.rows) == 3
    assert read.items == ["a note"]
    assert read.open == []


def test_signs_of_html_and_markdown_are_shown_and_not_obeyed():
    row = {**ROW, "weights": "my <b>|weights & more|"}
    read = Tables(format_html([row], title="a < b", caveats=["x <script> y"]))
    assert read.rows[1][5] == "my <b>|weights & more|"
    assert read.items == ["x <script> y"]
    row = {**ROW, "weights": "mine|yours|"}
    shown = rendered(format_markdown([row], title="t", caveats=[]))
    assert shown.rows[1][4:7] == ["0.9600", "mine|yours|", "12"]


def test_an_accuracy_of_no_query_is_shown_as_such():
    row = {**ROW, "top-1": float("nan"), "queries": 0}
    assert "nan" in Tables(format_html([row], title="t", caveats=[])).rows[1]


# Further metrics, and what decides

DECIDED = [
    {
        "experiment": name, **RATES, "mAP": mean, "nDCG@10": gain, "top-1 interval": interval,
        "really better than": others, **COSTS,
    }
    for name, mean, gain, interval, others in (
        ("joined", 0.81234, 0.9, "0.9100 to 0.9612", "colour shape"),
        ("colour", 0.5, 0.6, "", ""),
    )
]  # fmt: skip
DECIDED_COLUMNS = [
    *COLUMNS[:5], "mAP", "nDCG@10", "top-1 interval", "really better than", *COLUMNS[5:],
]  # fmt: skip


def test_both_pages_show_them_too():
    first = [
        *FIRST_LINE[1:5], "0.8123", "0.9000", "0.9100 to 0.9612", "colour shape", *FIRST_LINE[5:],
    ]  # fmt: skip
    text = format_markdown(DECIDED, title="t", caveats=[])
    for read in (Tables(format_html(DECIDED, title="t", caveats=[])), rendered(text)):
        assert read.rows[0] == DECIDED_COLUMNS
        assert read.rows[1] == ["joined", *first]
        assert read.rows[2][7:9] == ["", ""]
    assert "differences.csv" in text


def test_a_metric_that_one_ranking_is_not_deep_enough_for_is_missing_in_its_line_only():
    short = {
        **DECIDED[1], "experiment": "short", "top-1": 0.5, "top-3": 0.6, "top-5": None,
        "top-10": None, "mAP": None, "nDCG@10": 0.7,
    }  # fmt: skip
    assert hit_rates(short) == {1: 0.5, 3: 0.6}
    for rows in ([*DECIDED, short], [short, *DECIDED]):
        place = rows.index(short)
        text = format_markdown(rows, title="t", caveats=[])
        for read in (Tables(format_html(rows, title="t", caveats=[])), rendered(text)):
            assert read.rows[0] == DECIDED_COLUMNS
            assert {len(line) for line in read.rows} == {len(DECIDED_COLUMNS)}
            line = dict(zip(DECIDED_COLUMNS, read.rows[1 + place], strict=True))
            assert (line["top-3"], line["top-5"], line["top-10"]) == ("0.6000", "", "")
            assert (line["mAP"], line["nDCG@10"]) == ("", "0.7000")
            assert line["weights"] == "ImageNet"
            other = read.rows[1 + (place == 0)]
            assert dict(zip(DECIDED_COLUMNS, other, strict=True))["mAP"] == "0.8123"


def figures(mean, low=None, high=None):
    return {
        "mean": mean, "low": low, "high": high,
        "macro_mean": mean / 2, "macro_low": None, "macro_high": None,
    }  # fmt: skip


def record(**metrics):
    costs = {
        "queries": 600.0, "queries_excluded": 2.0, "training_seconds": 1234.56,
        "trunk_seconds": 78.9, "epochs_run": 12.0, "extraction_images_per_second": 5.64,
        "parameters": 58_370_944.0, "parameters_trained": 0.0, "feature_length": 100_352.0,
        "index_recall": 0.975,
    }  # fmt: skip
    return Record(
        stage="evaluate_retrieval", dataset="d", execution="0" * 32, title="t",
        started="2024-01-01T00:00:00.000+00:00", experiment="resnet152",
        metrics={**costs, **metrics}, tags={"weights": "ImageNet"},
    )  # fmt: skip


MEASURED = {
    "top-10": figures(0.96, 0.95, 0.97),
    "top-1": figures(0.93833, 0.92, 0.95),
    "mAP@R": figures(0.7, 0.6, 0.8),
}


def rows_of(decided_by, *measured, surpassed=()):
    """The lines of experiments called resnet152, each with those metrics."""
    metrics = [{"experiment": "resnet152", "metrics": each} for each in measured]
    return table_rows([record() for _ in metrics], metrics, decided_by, dict(surpassed))


def test_a_line_is_made_of_a_row_and_its_measured_metrics():
    [row] = rows_of("top-1", MEASURED, surpassed={"resnet152": ["colour", "shape"]})
    assert list(row.items()) == [
        *(("experiment", "resnet152"), ("top-1", 0.93833), ("top-10", 0.96), ("mAP@R", 0.7)),
        ("top-1 interval", "0.9200 to 0.9500"),
        ("interval over", "queries, not training"),
        ("really better than", "colour shape"),
        *COSTS.items(),
    ]
    assert hit_rates(row) == {1: 0.93833, 10: 0.96}
    assert all(type(row[name]) is int for name in ("parameters", "epochs", "queries"))


def test_a_line_says_what_its_interval_is_drawn_over(tmp_path):
    metrics = [{"experiment": name, "metrics": MEASURED} for name in ("net", "hog")]
    records = [record(), record(epochs_run=0.0)]
    rows = table_rows([records[0], *records], [{**metrics[0], "seeds": 3}, *metrics], "top-1", {})
    over = ["queries and 3 seeds", "queries, not training", "queries"]
    assert [row["interval over"] for row in rows] == over
    found = {**metrics[0], "gallery_images": 99}
    (leaks := tmp_path / "leaks.csv").write_text("kind,part_a,part_b\n")
    (doubts := tmp_path / "doubts.csv").write_text("picture\na\nb\n")
    caveats = find_caveats(rows, [found], faults=[], leaks=leaks, doubts=doubts)
    assert caveats[0].startswith("net was trained once. Interval and tests hold for that training")
    assert caveats[1:4] == [
        f"{name} was searched by an index, which found 97.5% of the exact first answers."
        for name in ("net", "net", "hog")
    ]
    assert caveats[4].startswith("2 labels are doubtful: the nearest pictures are of another class")


def test_another_metric_may_decide():
    [row] = rows_of("mAP@R", MEASURED)
    assert row["mAP@R interval"] == "0.6000 to 0.8000"
    assert "top-1 interval" not in row


@pytest.mark.parametrize("decided_by", ["mAP", "top-1"])
def test_a_deciding_metric_that_is_unknown_or_of_one_original_has_no_interval(decided_by):
    [row] = rows_of(decided_by, {"top-1": figures(0.5)})
    assert (row[f"{decided_by} interval"], row["really better than"]) == ("", "")


def test_a_metric_that_is_unknown_leaves_an_empty_cell_and_no_rate(tmp_path):
    import pandas as pd

    short = {"top-1": figures(0.5), "mAP@R": figures(0.25)}
    rows = rows_of("mAP", short, {**MEASURED, "mAP": figures(0.8)})
    assert hit_rates(rows[0]) == {1: 0.5}
    write_table(tmp_path / "comparison.csv", rows)
    read = pd.read_csv(tmp_path / "comparison.csv", dtype=str, keep_default_na=False)
    for cells in (
        read.loc[0],
        *(
            dict(zip(table.rows[0], table.rows[1], strict=True))
            for table in (
                Tables(format_html(rows, title="t", caveats=[])),
                rendered(format_markdown(rows, title="t", caveats=[])),
            )
        ),
    ):
        assert (cells["mAP"], cells["top-10"], float(cells["mAP@R"])) == ("", "", 0.25)


def test_the_table_of_metrics_has_a_line_for_each_of_each_experiment(tmp_path):
    import pandas as pd

    table = metric_table(
        [
            {"experiment": "net", "queries": 600, "metrics": MEASURED, "unknown": {}},
            {"experiment": "colour", "metrics": {"top-1": figures(0.5)}, "unknown": {"mAP": "?"}},
        ]
    )
    write_table(tmp_path / "metrics.csv", table)
    frame = pd.read_csv(tmp_path / "metrics.csv")
    assert list(frame.columns) == [
        *("experiment", "metric", "mean", "low", "high"),
        *("macro_mean", "macro_low", "macro_high"),
    ]
    assert frame[["experiment", "metric"]].to_numpy().tolist() == [
        ["net", "top-10"],
        ["net", "top-1"],
        ["net", "mAP@R"],
        ["colour", "top-1"],
    ]
    assert frame["mean"].tolist() == [0.96, 0.93833, 0.7, 0.5]
    assert frame["macro_mean"].tolist() == pytest.approx([0.48, 0.469165, 0.35, 0.25])
    assert frame["low"].tolist()[:3] == [0.95, 0.92, 0.6]
    assert math.isnan(frame["low"][3])
    frame.to_csv(tmp_path / "metrics.csv", index=False)
    last = (tmp_path / "metrics.csv").read_text().splitlines()[-1]
    assert last == "colour,top-1,0.5,,,0.25,,"


def test_only_known_intervals_of_hit_rates_are_drawn():
    found = intervals(
        [
            {"experiment": "net", "metrics": MEASURED},
            {"experiment": "half", "metrics": {"top-1": figures(1.0), "top-5": figures(1, 0, 1)}},
            {"experiment": "colour", "metrics": {"top-1": figures(0.5), "mAP": figures(0.5, 0, 1)}},
        ]
    )
    assert found == {"net": {10: (0.95, 0.97), 1: (0.92, 0.95)}, "half": {5: (0, 1)}}


# Over seeds

BY_SEED = [
    {"experiment": name, "top-1": one, "top-5": five, **COSTS, "training s": seconds}
    for name, one, five, seconds in (
        ("net-seed1", 0.2, 0.5, 10.0),
        ("scratch", 0.9, 1.0, 50.0),
        ("net-seed2", 0.4, 0.5, 20.0),
        ("net-seed3", 0.9, 0.5, 60.0),
    )
]
GROUPS = {"net": ["net-seed1", "net-seed2", "net-seed3"], "scratch": ["scratch"]}
SEED_COLUMNS = ["settings", "seeds", "each", "top-1", "top-5", "training s"]
# mean .5, squares of the differences .09 + .01 + .16 = .26, divided by 2: .13, its root .36056
SEED_LINE = [
    "net", "3", "0.2000 0.4000 0.9000",
    "0.5000 ± 0.3606 (0.2000 to 0.9000)", "0.5000 ± 0.0000 (0.5000 to 0.5000)",
    "30.0 ± 26.5 (10.0 to 60.0)",
]  # fmt: skip


def test_experiments_of_one_group_are_summed_up_over_their_seeds():
    [row] = summarise_seeds(BY_SEED, GROUPS, "top-1")
    assert (row["settings"], row["seeds"]) == ("net", 3)
    one = row["top-1"]
    assert one.mean == pytest.approx(0.5)
    assert one.sd == pytest.approx(math.sqrt(0.13))
    assert (one.min, one.max) == (0.2, 0.9)
    assert row["training s"].sd == pytest.approx(math.sqrt(700))
    assert summarise_seeds(BY_SEED, {"scratch": ["scratch"]}, "top-1") == []


def test_only_hit_rates_that_all_of_a_group_have_are_summed_up(tmp_path):
    import pandas as pd

    rows = [{**BY_SEED[0], "top-5": None}, *BY_SEED[1:]]
    seeds = summarise_seeds(rows, GROUPS, "top-1")
    assert list(hit_rates(seeds[0])) == [1]
    write_seeds(tmp_path / "seeds.csv", seeds, [1, 5])
    [line] = pd.read_csv(tmp_path / "seeds.csv").to_dict("records")
    assert line["top-1 mean"] == pytest.approx(0.5)
    assert math.isnan(line["top-5 mean"])
    assert "± 0.3606" in format_markdown(rows, title="t", caveats=[], seeds=seeds)


def test_groups_stand_in_the_order_of_the_experiments():
    rows = [{**ROW, "experiment": name} for name in ("b1", "a1", "b2", "a2")]
    groups = {"a": ["a1", "a2"], "b": ["b1", "b2"]}  # sorted, as canonical JSON is
    assert [row["settings"] for row in summarise_seeds(rows, groups, "top-1")] == ["b", "a"]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_the_spread_is_that_of_the_standard_library(rates):
    summed = spread(rates)
    assert summed.mean == pytest.approx(statistics.fmean(rates))
    assert summed.sd == pytest.approx(statistics.stdev(rates), abs=1e-12)
    assert (summed.min, summed.max) == (min(rates), max(rates))


def test_a_rate_that_is_no_number_is_not_averaged_away():
    assert math.isnan(spread([0.5, math.nan]).mean)


def test_the_table_over_seeds_has_a_column_a_number(tmp_path):
    import pandas as pd

    write_seeds(tmp_path / "seeds.csv", summarise_seeds(BY_SEED, GROUPS, "top-1"), [5, 1])
    frame = pd.read_csv(tmp_path / "seeds.csv")
    measured = ["top-1", "top-5", "training s"]
    numbers = [f"{name} {part}" for name in measured for part in ("mean", "sd", "min", "max")]
    assert list(frame.columns) == ["settings", "seeds", "each", *numbers, "experiments"]
    [line] = frame.to_dict("records")
    assert (line["settings"], line["seeds"]) == ("net", 3)
    assert line["experiments"] == "net-seed1 net-seed2 net-seed3"
    assert line["training s max"] == 60
    write_seeds(tmp_path / "none.csv", [], [1, 5])
    nothing = pd.read_csv(tmp_path / "none.csv")
    assert list(nothing.columns) == list(frame.columns)
    assert nothing.empty


def test_both_pages_show_the_table_over_seeds_below_the_first():
    seeds = summarise_seeds(BY_SEED, GROUPS, "top-1")
    read = Tables(format_html(BY_SEED, title="t", caveats=["a note"], seeds=seeds))
    assert read.rows[-2:] == [SEED_COLUMNS, SEED_LINE]
    assert len(read.rows) == 7
    assert (read.items, read.open) == (["a note"], [])
    text = format_markdown(BY_SEED, title="t", caveats=["a note"], seeds=seeds)
    shown = rendered(text)
    assert shown.rows[-2:] == [SEED_COLUMNS, SEED_LINE]
    assert shown.items == ["a note"]
    for said in (text, format_html(BY_SEED, title="t", caveats=[], seeds=seeds)):
        assert "sample standard deviation (n - 1)" in said


def test_without_seeds_to_compare_there_is_no_second_table():
    assert "Over seeds" not in format_markdown(ROWS, title="t", caveats=[])
    assert "Over seeds" not in format_html(ROWS, title="t", caveats=[])
