"""Records: what is written is what is read, and what is not a record is refused with its name."""

import json
import logging
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallerist.records.record import (
    Artifact,
    ImageSet,
    Record,
    RecordError,
    find_records,
    flatten,
    milliseconds,
    mlflow_experiments,
    now,
    read_record,
    scalar,
    write_record,
)

names = st.text(min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=True)
moments = st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | names
    | st.floats(allow_infinity=False, allow_nan=False)
)


@st.composite
def records(draw):
    return Record(
        stage=draw(names),
        dataset=draw(names),
        execution=draw(st.uuids()).hex,
        title=draw(names),
        started=draw(moments),
        finished=draw(moments),
        experiment=draw(st.none() | names),
        part=draw(st.none() | names),
        status=draw(st.sampled_from(["finished", "failed"])),
        seconds=draw(st.floats(min_value=0, allow_infinity=False)),
        parameters=draw(st.dictionaries(names, scalars, max_size=3)),
        metrics=draw(st.dictionaries(names, numbers, max_size=3)),
        curves=draw(
            st.dictionaries(
                names, st.lists(st.tuples(st.integers(0, 10**9), numbers), max_size=3), max_size=2
            )
        ),
        artifacts=tuple(draw(st.lists(st.builds(Artifact, names, st.none() | names), max_size=2))),
        inputs=draw(st.dictionaries(names, names, max_size=2)),
        datasets=tuple(
            draw(st.lists(st.builds(ImageSet, names, names, st.integers(0), names), max_size=2))
        ),
        git_commit=draw(st.none() | names),
        git_dirty=draw(st.none() | st.booleans()),
        pid=draw(st.integers(0, 2**31)),
        process_started=draw(st.none() | st.floats(0, 1e10)),
        tags=draw(st.dictionaries(names, names, max_size=2)),
        error=draw(st.none() | names),
        destination=draw(st.sampled_from(["stages", "comparison"])),
    )


@pytest.fixture
def record():
    return Record(
        stage="train_network",
        dataset="monkeys",
        experiment="scratch",
        execution="a" * 32,
        title="train_network scratch",
        started="2026-01-01T10:00:00.000+00:00",
        finished="2026-01-01T10:00:10.500+00:00",
        seconds=10.5,
        status="finished",
    )


@given(records())
def test_a_record_survives_json(record):
    text = json.dumps(record.to_json(), allow_nan=False)
    assert Record.from_json(json.loads(text)) == record


def test_a_record_survives_a_file(record, tmp_path):
    record = replace(record, metrics={"top_1": 0.25}, curves={"loss": [(0, 2.0), (1, 1.5)]})
    write_record(tmp_path / "a" / "model.record.json", record)
    assert read_record(tmp_path / "a" / "model.record.json") == record


def test_numbers_that_json_lacks_are_written_by_name_and_read_back(record, tmp_path):
    """A strict parser, as any other tool has, must be able to read the file."""
    path = tmp_path / "record.json"
    metrics = {"nan": math.nan, "up": math.inf, "down": -math.inf}
    write_record(path, replace(record, metrics=metrics, curves={"loss": [(1, math.nan)]}))

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    written = json.loads(path.read_text(), parse_constant=refuse)
    assert written["metrics"] == {"nan": "NaN", "up": "Infinity", "down": "-Infinity"}
    read = read_record(path)
    assert math.isnan(read.metrics["nan"])
    assert (read.metrics["up"], read.metrics["down"]) == (math.inf, -math.inf)
    assert math.isnan(read.curves["loss"][0][1])


def test_a_running_stage_has_no_record_yet(record, tmp_path):
    with pytest.raises(RecordError, match="when its stage has ended"):
        write_record(tmp_path / "record.json", replace(record, status="running"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 99}, "layout 99"),
        ({"stage": None}, "lacks stage"),
        ({"status": "maybe"}, "'maybe', not one of"),
        ({"destination": "moon"}, "'moon', not one of"),
        ({"metrics": {"top_1": "high"}}, "could not convert"),
        ({"curves": {"loss": [1, 2]}}, "does not belong"),
        ({"artifacts": [{"file": "x"}]}, "does not belong"),
        ({"started": "yesterday"}, "yesterday"),
        ({"started": "2026-01-01T10:00:00"}, "no time zone"),
    ],
)
def test_what_is_not_a_record_is_refused_by_name(record, tmp_path, change, reason):
    path = tmp_path / "odd.record.json"
    path.write_text(json.dumps(record.to_json() | change))
    with pytest.raises(RecordError, match=reason) as refused:
        read_record(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'"text"'])
def test_a_broken_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"record\.json"):
        read_record(path)


def test_records_are_found_and_a_broken_one_hides_no_other(record, tmp_path, caplog):
    for name in ("a/record.json", "b/gallery.record.json"):
        write_record(tmp_path / name, replace(record, title=name))
    (tmp_path / "b" / "broken.record.json").write_text("{")
    (tmp_path / "b" / "norecord.json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        found = [record.title for record in find_records(tmp_path)]
    assert found == ["a/record.json", "b/gallery.record.json"]
    assert "broken.record.json" in caplog.text
    assert "norecord.json" not in caplog.text


def test_each_record_knows_its_place_in_mlflow(record):
    comparison = replace(record, destination="comparison")
    assert record.mlflow_experiment == "monkeys/stages"
    assert comparison.mlflow_experiment == "monkeys"
    assert set(mlflow_experiments("monkeys")) == {"monkeys", "monkeys/stages"}


def test_moments_are_utc_and_count_milliseconds():
    assert milliseconds("1970-01-01T00:00:01.500+00:00") == 1500
    assert milliseconds("1970-01-01T01:00:00+01:00") == 0
    assert now().endswith("+00:00")


def test_nested_settings_become_dotted_names():
    nested = {"search": {"depth": 50, "query": {"expansion": None}}, "k": [1, 3], "name": "ä"}
    assert flatten(nested) == {
        "search.depth": 50,
        "search.query.expansion": None,
        "k": "[1, 3]",
        "name": "ä",
    }


def test_scalars_are_plain_python_and_anything_else_is_its_text(tmp_path):
    class Text(str):
        __slots__ = ()

    assert scalar(np.float32(0.5)) == 0.5
    assert type(scalar(np.int64(3))) is int
    assert type(scalar(np.bool_(True))) is bool
    assert type(scalar(Text("x"))) is str
    assert scalar(tmp_path) == str(tmp_path)
    assert scalar([np.int64(1), None]) == "[1, null]"
    assert scalar(np.array([1, 2])) == "[1 2]"
