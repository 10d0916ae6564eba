"""Feature vectors as files that belong together, and their lengths."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from peak_memory import needs_linux, peak_megabytes
from sklearn.preprocessing import normalize

from gallerist.features.store import (
    SCALED_AT_ONCE,
    Features,
    FeatureSummary,
    check_comparable,
    normalise,
    unit_rows,
    write_features,
)
from gallerist.io.errors import UserError
from gallerist.io.files import read_json, sha256_of_file, write_json

IDS = ("00aa", "00bb", "00cc")


def features(ids=IDS, length: int = 4, model: str = "m" * 64, preprocessing: str = "p" * 64):
    vectors = np.random.default_rng(1).normal(size=(len(ids), length))
    return Features.of(vectors, ids, model, preprocessing)


def stored(folder, name: str = "gallery"):
    return folder / f"{name}.npy", folder / f"{name}.ids.csv", folder / f"{name}.origin.json"


def test_what_is_written_reads_back(tmp_path):
    written = features()
    written.write(*stored(tmp_path))
    read = Features.read(*stored(tmp_path))
    np.testing.assert_array_equal(read.vectors, written.vectors, strict=True)
    np.testing.assert_array_equal(read.norms, written.norms, strict=True)
    assert (read.ids, read.model, read.preprocessing) == (IDS, "m" * 64, "p" * 64)


def test_the_files_are_plain_and_say_what_they_are(tmp_path):
    features().write(*stored(tmp_path))
    vectors, ids, origin = stored(tmp_path)
    assert np.load(vectors, allow_pickle=False).shape == (3, 4)
    lines = ids.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["id", *IDS]
    assert [float(line.split(",")[1]) for line in lines[1:]] == features().norms.tolist()
    identity = read_json(origin)
    assert (identity["images"], identity["feature_length"]) == (3, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in stored(tmp_path)
    )


def test_vectors_are_mapped_and_not_copied_into_memory(tmp_path):
    features().write(*stored(tmp_path))
    assert isinstance(Features.read(*stored(tmp_path)).vectors, np.memmap)


def test_features_of_no_picture_read_back(tmp_path):
    Features.of(np.zeros((0, 4)), (), "m", "p").write(*stored(tmp_path))
    read = Features.read(*stored(tmp_path))
    assert read.ids == ()
    assert read.vectors.shape == (0, 4)


def test_vectors_of_another_extraction_are_refused(tmp_path):
    features().write(*stored(tmp_path))
    np.save(tmp_path / "gallery.npy", features(length=5).vectors)
    with pytest.raises(UserError, match=r"gallery\.npy is not the file that .*origin\.json"):
        Features.read(*stored(tmp_path))


def test_ids_in_another_order_are_refused(tmp_path):
    features().write(*stored(tmp_path))
    (tmp_path / "gallery.ids.csv").write_text("id,norm\n00bb,1.0\n00aa,1.0\n00cc,1.0\n")
    with pytest.raises(UserError, match=r"gallery\.ids\.csv is not the file that"):
        Features.read(*stored(tmp_path))


def test_files_of_two_parts_are_not_mixed(tmp_path):
    features().write(*stored(tmp_path))
    features(ids=("11aa", "11bb", "11cc")).write(*stored(tmp_path, "query"))
    vectors, _, origin = stored(tmp_path)
    with pytest.raises(UserError):
        Features.read(vectors, stored(tmp_path, "query")[1], origin)


def test_a_pickle_is_not_loaded(tmp_path):
    features().write(*stored(tmp_path))
    vectors, ids, origin = stored(tmp_path)
    np.save(vectors, np.array([{"any": "object"}], dtype=object), allow_pickle=True)
    write_json(origin, read_json(origin) | {"vectors": sha256_of_file(vectors)})
    with pytest.raises(ValueError, match=r"[Pp]ickle|Python objects"):
        Features.read(vectors, ids, origin)


def test_features_of_one_origin_are_comparable():
    check_comparable(features(), features(ids=("1", "2")))


def test_features_of_two_models_or_preparations_are_not_comparable():
    with pytest.raises(UserError, match=r"different models \(mmmmmmmmmmmm and n{12}\)"):
        check_comparable(features(), features(model="n" * 64))
    with pytest.raises(UserError, match="differently prepared"):
        check_comparable(features(), features(preprocessing="q" * 64))


@settings(deadline=None)
@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.floats(-1000, 1000, width=32).map(lambda x: x if abs(x) > 1e-3 else 0.0),
    )
)
def test_rows_have_length_one_or_stay_zero_as_in_scikit_learn(vectors):
    unit = normalise(vectors)
    assert unit.dtype == np.float32
    lengths = np.linalg.norm(unit.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, vectors.any(axis=1).astype(float), atol=1e-6)
    np.testing.assert_allclose(unit, normalize(vectors.astype(np.float64)), atol=1e-7)


def test_the_norms_give_back_what_the_describer_gave(tmp_path):
    described = np.random.default_rng(3).normal(size=(3, 50)) * [[1e-3], [0], [1e3]]
    Features.of(described, IDS, "m", "p").write(*stored(tmp_path))
    read = Features.read(*stored(tmp_path))
    np.testing.assert_allclose(read.norms, np.linalg.norm(described, axis=1), rtol=1e-15)
    np.testing.assert_allclose(read.norms[:, None] * read.vectors, described, rtol=1e-6)
    [batch] = read.unscaled_batches(IDS[::-1])
    np.testing.assert_allclose(batch, described[::-1], rtol=1e-6)
    first, second = read.unscaled_batches(IDS, size=2)
    assert (len(first), len(second)) == (2, 1)


@pytest.mark.parametrize("scale", [1e-45, 1e-30, 1.0, 1e30, 3e38])
def test_the_scale_of_float32_vectors_does_not_matter(scale):
    vectors = np.array([[0.75, 1.0, 0.0], [0.0, 0.0, 0.0]]) * scale
    unit = normalise(vectors.astype(np.float32))
    assert np.linalg.norm(unit[0]) == pytest.approx(1, abs=1e-6)
    assert not unit[1].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_are_refused_with_their_number(value):
    vectors = np.ones((5, 3), dtype=np.float32)
    vectors[[1, 4], 2] = value
    with pytest.raises(UserError, match=r"2 of 5 .* diverged.*learning_rate"):
        normalise(vectors)


def streamed(folder, batches, ids, length=None) -> FeatureSummary:
    source = SimpleNamespace(model="m", preprocessing="p", length=length)
    return write_features(batches, ids, source, stored(folder))


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.floats(-9, 9)),
    st.lists(st.integers(0, 8), max_size=4).map(sorted),
)
def test_features_written_in_batches_are_those_written_at_once(tmp_path_factory, vectors, cuts):
    apart, at_once = tmp_path_factory.mktemp("apart"), tmp_path_factory.mktemp("at_once")
    ids = [f"{number:04x}" for number in range(len(vectors))]
    summary = streamed(apart, iter(np.split(vectors, cuts)), ids)
    Features.of(vectors, ids, "m", "p").write(*stored(at_once))
    for one, other in zip(stored(apart), stored(at_once), strict=True):
        assert one.read_bytes() == other.read_bytes()
    empty = int((np.abs(vectors.astype(np.float64)).sum(axis=1) == 0).sum())
    assert summary == FeatureSummary(*vectors.shape, empty)
    assert Features.read(*stored(apart)).ids == tuple(ids)


def test_pictures_without_any_feature_are_counted_in_the_log(tmp_path, caplog):
    batches = [np.zeros((2, 3)), np.ones((2, 3)), np.zeros((1, 3))]
    with caplog.at_level(logging.WARNING, "gallerist"):
        assert streamed(tmp_path, batches, list("abcde")).empty == 3
    assert caplog.messages == ["3 of 5 pictures have an all-zero feature vector"]


def test_no_pictures_are_features_of_the_length_given(tmp_path):
    assert streamed(tmp_path, [], [], length=4) == FeatureSummary(0, 4, 0)
    assert Features.read(*stored(tmp_path)).vectors.shape == (0, 4)
    with pytest.raises(UserError, match=r"gallery\.npy: .*length must be given"):
        streamed(tmp_path, [], [])


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_vectors_than_of_ids_is_refused(tmp_path, count):
    with pytest.raises(UserError, match=r"only 2 of 3 rows|more rows came than the 3"):
        streamed(tmp_path, [np.ones((count, 4))], IDS)
    with pytest.raises(UserError, match=r"only 2 of 3 rows|more rows came than the 3"):
        Features(np.ones((count, 4), np.float32), np.ones(3), IDS, "m", "p").write(
            *stored(tmp_path)
        )
    assert not list(tmp_path.iterdir())


def test_a_late_batch_that_is_not_finite_leaves_no_file(tmp_path):
    batches = [np.ones((2, 4)), np.full((1, 4), np.nan)]
    with pytest.raises(UserError, match="diverged"):
        streamed(tmp_path, batches, IDS)
    assert not list(tmp_path.iterdir())


def test_an_extraction_that_stops_halfway_leaves_the_features_as_they_were(tmp_path):
    features().write(*stored(tmp_path))

    def batches():
        yield np.ones((2, 4))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        streamed(tmp_path, batches(), IDS)
    np.testing.assert_array_equal(Features.read(*stored(tmp_path)).vectors, features().vectors)


MEASURES_MEMORY = """
    import sys, numpy as np
    from gallerist.features.store import Features, write_features

    count = int(sys.argv[2])
    paths = [f"{sys.argv[1]}/{count}.{suffix}" for suffix in ("npy", "ids.csv", "json")]
    batch = np.random.default_rng(1).normal(size=(100, 5000)).astype(np.float32)
    source = Features.of(batch[:0], [], "m", "p")
    batches = (batch for _ in range(count // 100))
    write_features(batches, list(map(str, range(count))), source, paths)
    assert Features.read(*paths).vectors.shape == (count, 5000)
"""


@needs_linux
def test_ten_times_the_pictures_take_no_more_memory(tmp_path):
    few, many = (peak_megabytes(MEASURES_MEMORY, tmp_path, count) for count in (1000, 10_000))
    assert (tmp_path / "10000.npy").stat().st_size > 190 * 2**20
    assert many - few < 16, f"MB: {few}, {many}"


def test_many_long_rows_are_scaled_as_all_at_once_would_be():
    vectors = np.random.default_rng(4).standard_normal((7, SCALED_AT_ONCE // 2 - 5), np.float32)
    vectors[3] = 0
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    scaled, found = unit_rows(vectors)
    np.testing.assert_array_equal(found, lengths)
    expected = exact / np.where(lengths > 0, lengths, 1)[:, None]
    np.testing.assert_array_equal(scaled, expected.astype(np.float32))
    vectors[[1, 6], 0] = np.inf, np.nan
    with pytest.raises(UserError, match="2 of 7 feature vectors"):
        unit_rows(vectors)
