"""The history of a training as a file."""

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.training.history import CURVES, Training, read_history

epochs = st.lists(
    st.fixed_dictionaries({name: st.floats(allow_nan=False) for name in CURVES}), max_size=6
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("histories") / "history.csv"


@settings(deadline=None)
@given(epochs)
def test_what_is_written_reads_back_with_epochs_from_one(file, rows):
    Training(tuple(rows), 1.0, 10).write_history(file)
    assert read_history(file) == [
        {"epoch": float(number), **row} for number, row in enumerate(rows, start=1)
    ]


def test_a_loss_that_is_not_a_number_reads_back_as_such(file):
    row = dict.fromkeys(CURVES, 0.5) | {"val_loss": math.nan}
    Training((row,), 1.0, 10).write_history(file)
    assert math.isnan(read_history(file)[0]["val_loss"])


def test_the_file_is_plain_csv_in_a_fixed_order(file):
    row = {name: number / 2 for number, name in enumerate(CURVES)}
    shuffled = dict(reversed(row.items()))
    Training((shuffled, row), 2.0, 10).write_history(file)
    frame = pd.read_csv(file)
    assert list(frame.columns) == ["epoch", *CURVES]
    assert frame["epoch"].tolist() == [1, 2]
    assert frame.iloc[0].tolist() == [1, *row.values()]


def test_a_network_that_was_not_trained_has_a_header_and_no_epoch(file):
    untrained = Training((), 0.0, 100)
    untrained.write_history(file)
    assert file.read_text() == ",".join(("epoch", *CURVES)) + "\n"
    assert read_history(file) == []
    assert untrained.images_per_second == 0


def test_the_rate_counts_every_epoch():
    assert Training(({}, {}, {}), 6.0, 100).images_per_second == 50
