"""Reductions are what scikit-learn gives, whichever way they were computed."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.random_projection import GaussianRandomProjection
from threadpoolctl import threadpool_limits

from gallerist.features import reduction
from gallerist.features.reduction import Reduction, centre_domains, fit
from gallerist.io.errors import UserError

SHAPES = {"more pictures": (90, 12), "longer vectors": (25, 60), "square": (30, 30)}


def unit_rows(count, length, seed=1):
    """Positive, uneven and of length 1, as activations after a ReLU are."""
    rows = np.random.default_rng(seed).random((count, length)) * np.linspace(1, 0.2, length)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def training(request):
    return unit_rows(*request.param)


def test_principal_components_are_those_of_scikit_learn_with_their_signs(training):
    found = fit("pca", 8, training, seed=0)
    expected = PCA(8, svd_solver="full").fit(training.astype(np.float64))
    np.testing.assert_allclose(found.components, expected.components_, atol=1e-5)
    others = unit_rows(7, training.shape[1], seed=2)
    np.testing.assert_allclose(found.apply(others), expected.transform(others), atol=1e-5)


def test_whitened_vectors_are_those_of_scikit_learn(training):
    found = fit("pca_whitening", 8, training, seed=0)
    expected = PCA(8, svd_solver="full", whiten=True).fit(training.astype(np.float64))
    others = unit_rows(7, training.shape[1], seed=2)
    np.testing.assert_allclose(found.apply(others), expected.transform(others), atol=1e-4)


def test_whitened_training_pictures_have_the_identity_as_their_covariance(training):
    most = min(len(training) - 1, training.shape[1])
    for dimensions in (3, most - 1):
        whitened = fit("pca_whitening", dimensions, training, seed=0).apply(training)
        np.testing.assert_allclose(
            np.cov(whitened, rowvar=False),
            np.eye(dimensions),
            atol=1e-5,
        )


def test_all_directions_that_pictures_differ_in_keep_their_distances():
    training = unit_rows(25, 60)
    reduced = fit("pca", 24, training, seed=0).apply(training).astype(np.float64)
    for a, b in ((0, 1), (3, 20), (7, 24)):
        before = np.linalg.norm(training[a].astype(np.float64) - training[b])
        assert np.linalg.norm(reduced[a] - reduced[b]) == pytest.approx(before, rel=1e-5)


def test_standardised_vectors_are_those_of_scikit_learn(training, monkeypatch):
    monkeypatch.setattr(reduction, "ROWS", 1)
    monkeypatch.setattr(reduction, "COLUMNS", 100)
    found = fit("standardise", None, training, seed=0).apply(training)
    expected = StandardScaler().fit_transform(training.astype(np.float64))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_element_that_never_varies_is_only_centred():
    training = unit_rows(10, 4)
    training[:, 2] = 0.25
    reduced = fit("standardise", None, training, seed=0).apply(training)
    assert np.isfinite(reduced).all()
    assert not reduced[:, 2].any()


def test_a_random_projection_is_that_of_scikit_learn():
    training = unit_rows(5, 300)
    found = fit("random_projection", 40, training, seed=7).apply(training)
    expected = GaussianRandomProjection(40, random_state=7).fit_transform(training)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_random_projection_keeps_distances_as_johnson_and_lindenstrauss_say():
    rows = unit_rows(20, 2000)
    reduced = fit("random_projection", 1500, rows, seed=3).apply(rows)
    first, second = np.triu_indices(len(rows), 1)
    before = np.linalg.norm(rows[first] - rows[second], axis=1)
    after = np.linalg.norm(reduced[first] - reduced[second], axis=1)
    allowed = np.sqrt(8 * np.log(len(rows)) / 1500)
    assert np.abs(after**2 / before**2 - 1).max() < allowed


@pytest.mark.parametrize("method", reduction.METHODS)
def test_the_size_of_the_slices_does_not_show(method, monkeypatch):
    training, others = unit_rows(25, 60), unit_rows(9, 60, seed=2)
    dimensions = None if method == "standardise" else 5
    whole = fit(method, dimensions, training, seed=0).apply(others)
    monkeypatch.setattr(reduction, "ROWS", 4)
    monkeypatch.setattr(reduction, "COLUMNS", 35)
    sliced = fit(method, dimensions, training, seed=0).apply(others)
    np.testing.assert_allclose(sliced, whole, atol=1e-6)


@pytest.mark.parametrize("shape", [(300, 1000), (1000, 300)], ids=["dual", "primal"])
def test_the_number_of_threads_does_not_show(shape):
    training = unit_rows(*shape)
    identities, applied = set(), set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            fitted = fit("pca_whitening", 64, training, seed=0)
            identities.add(fitted.sha256)
            applied.add(fitted.apply(training).tobytes())
    assert len(identities) == len(applied) == 1


@pytest.mark.parametrize("method", reduction.METHODS)
def test_a_picture_without_content_stays_zeros(method):
    training = unit_rows(25, 60)
    rows = np.vstack([training[:2], np.zeros((1, 60), np.float32)])
    fitted = fit(method, None if method == "standardise" else 5, training, seed=0)
    reduced = fitted.apply(rows)
    assert reduced.dtype == np.float32
    assert not reduced[2].any()
    assert reduced[:2].any(axis=1).all()


@pytest.mark.parametrize("method", reduction.METHODS)
def test_pictures_without_content_are_not_fitted_on(method):
    training = unit_rows(25, 60)
    mixed = np.insert(training, [0, 10, 25], 0, axis=0)
    dimensions = None if method == "standardise" else 5
    with_them, without = (fit(method, dimensions, rows, seed=0) for rows in (mixed, training))
    assert with_them.sha256 == without.sha256


@pytest.mark.parametrize("method", reduction.METHODS)
def test_what_is_written_reads_back_bit_by_bit(method, tmp_path):
    training = unit_rows(25, 60)
    fitted = fit(method, None if method == "standardise" else 5, training, seed=0)
    fitted.write(tmp_path / "reduction.npz")
    again = Reduction.read(tmp_path / "reduction.npz")
    assert again.sha256 == fitted.sha256
    assert (again.method, again.length) == (method, fitted.length)
    assert again.apply(training).tobytes() == fitted.apply(training).tobytes()


def test_equal_reductions_are_equal_files(tmp_path):
    for name in ("a.npz", "b.npz"):
        fit("pca", 3, unit_rows(25, 60), seed=0).write(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_identity_distinguishes_methods_seeds_and_training_pictures():
    training = unit_rows(25, 60)
    identities = [
        fit("pca", 3, training, seed=0).sha256,
        fit("pca", 4, training, seed=0).sha256,
        fit("pca_whitening", 3, training, seed=0).sha256,
        fit("pca", 3, unit_rows(25, 60, seed=2), seed=0).sha256,
        fit("random_projection", 3, training, seed=0).sha256,
        fit("random_projection", 3, training, seed=1).sha256,
        fit("standardise", None, training, seed=0).sha256,
    ]
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_vectors_mapped_from_a_file_give_the_same(shape, tmp_path):
    training = unit_rows(*shape)
    np.save(tmp_path / "training.npy", training)
    mapped = np.load(tmp_path / "training.npy", mmap_mode="r")
    for method in ("standardise", "pca"):
        dimensions = None if method == "standardise" else 5
        in_memory, from_file = (fit(method, dimensions, rows, 0) for rows in (training, mapped))
        assert from_file.sha256 == in_memory.sha256
        assert from_file.apply(mapped).tobytes() == in_memory.apply(training).tobytes()


def test_too_many_training_pictures_are_sampled_by_the_seed_and_it_is_reported(monkeypatch, caplog):
    monkeypatch.setattr(reduction, "SIDE", 10)
    training = unit_rows(25, 60)
    first, again, other = (fit("pca", 3, training, seed=seed).sha256 for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert "a sample of 10 of 25 training pictures" in caplog.text


def test_a_sample_is_large_enough_for_the_dimensions(monkeypatch):
    monkeypatch.setattr(reduction, "SIDE", 10)
    assert fit("pca", 20, unit_rows(25, 60), seed=1).length == 20


@pytest.mark.parametrize("method", ["pca", "pca_whitening"])
def test_more_dimensions_than_pictures_says_how_many_there_are_and_what_to_set(method):
    with pytest.raises(UserError, match=r"pictures with content; there are 25\. Set dimensions"):
        fit(method, 25, unit_rows(25, 60), seed=0)


def test_a_random_projection_needs_no_more_pictures_than_one():
    assert fit("random_projection", 5, unit_rows(1, 60), seed=0).length == 5


@pytest.mark.parametrize("method", ["pca", "pca_whitening", "random_projection"])
def test_dimensions_outside_the_length_are_refused(method):
    with pytest.raises(UserError, match="12"):
        fit(method, 13, unit_rows(90, 12), seed=0)


@pytest.mark.parametrize("method", ["standardise", "pca", "pca_whitening"])
def test_training_pictures_all_without_content_are_refused(method):
    with pytest.raises(UserError, match="there are 0"):
        fit(method, None if method == "standardise" else 1, np.zeros((9, 4), np.float32), seed=0)


@pytest.mark.parametrize("copies", [(4, 30), (50, 10)], ids=["longer vectors", "more pictures"])
@pytest.mark.filterwarnings("error")
def test_copies_of_few_pictures_give_only_the_directions_in_which_they_differ(copies):
    times, length = copies
    training = np.tile(unit_rows(4, length), (times, 1))
    assert fit("pca_whitening", 3, training, seed=0).length == 3
    with pytest.raises(UserError, match=r"only 3 directions.*Set dimensions to 3"):
        fit("pca_whitening", 4, training, seed=0)
    with pytest.raises(UserError, match="only 0 directions"):
        fit("pca", 1, training[[0] * len(training)], seed=0)


def test_vectors_of_another_length_are_refused():
    with pytest.raises(UserError, match="vectors of length 60"):
        fit("pca", 3, unit_rows(25, 60), seed=0).apply(unit_rows(2, 61))


def test_no_rows_are_no_rows():
    empty = np.empty((0, 60), np.float32)
    assert fit("pca", 3, unit_rows(25, 60), seed=0).apply(empty).shape == (0, 3)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut", b"text"])
def test_a_file_that_holds_no_reduction_is_named(content, tmp_path):
    path = tmp_path / "reduction.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"reduction\.npz: this is not a stored reduction"):
        Reduction.read(path)


def test_other_arrays_and_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.savez(tmp_path / "pickle.npz", method=np.array({}, dtype=object))
    np.save(tmp_path / "plain.npy", np.ones(3))
    for name in ("other.npz", "pickle.npz", "plain.npy"):
        with pytest.raises(UserError, match=name):
            Reduction.read(tmp_path / name)


# Sketches and photos, each by their own mean


def two_domains(count=40, length=12, apart=2.0):
    """Vectors of two kinds of things, seen as photos and, all moved alike, as sketches."""
    draw = np.random.default_rng(5)
    things = np.repeat(draw.normal(size=(2, length)) / 4, count // 2, axis=0)
    photos = things + draw.normal(size=things.shape) / 50
    sketches = things + draw.normal(size=things.shape) / 50 + apart
    rows = np.concatenate([photos, sketches]).astype(np.float32)
    return rows, np.arange(2 * count) >= count, np.tile(np.repeat([0, 1], count // 2), 2)


def test_after_centring_both_domains_have_their_mean_at_zero():
    rows, sketches, _ = two_domains()
    centred = centre_domains(rows, sketches).apply(rows)
    for domain in (sketches, ~sketches):
        np.testing.assert_allclose(centred[domain].mean(axis=0), 0, atol=1e-6)
        expected = StandardScaler(with_std=False).fit_transform(rows[domain].astype(np.float64))
        np.testing.assert_allclose(centred[domain], expected, atol=1e-6)


def test_centring_brings_a_sketch_to_the_photos_of_its_own_kind():
    rows, sketches, kinds = two_domains()
    fitted = centre_domains(rows[::2], sketches[::2])
    others, drawn, kind = rows[1::2], sketches[1::2], kinds[1::2]

    def own_kind_is_nearest(vectors):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = (vectors / lengths)[drawn] @ (vectors / lengths)[~drawn].T
        return (kind[~drawn][cosines.argmax(axis=1)] == kind[drawn]).mean()

    assert own_kind_is_nearest(fitted.apply(others)) == 1
    assert own_kind_is_nearest(others) < 1


def test_pictures_without_content_have_no_part_in_the_means_and_stay_zeros():
    rows, sketches, _ = two_domains()
    empty = np.zeros((3, rows.shape[1]), np.float32)
    more, drawn = np.concatenate([empty, rows]), np.concatenate([[True, False, True], sketches])
    found = centre_domains(more, drawn)
    assert found.sha256 == centre_domains(rows, sketches).sha256
    assert not found.apply(more)[:3].any()


def test_centred_domains_read_back_bit_by_bit_and_differ_from_others(tmp_path):
    rows, sketches, _ = two_domains()
    found = centre_domains(rows, sketches)
    found.write(tmp_path / "centred.npz")
    again = Reduction.read(tmp_path / "centred.npz")
    assert again.sha256 == found.sha256 != centre_domains(rows, ~sketches).sha256
    assert np.array_equal(again.apply(rows), found.apply(rows))


@pytest.mark.parametrize(("drawn", "missing"), [(True, "photo"), (False, "sketch")])
def test_centring_needs_both_domains_and_says_which_one_is_missing(drawn, missing):
    rows, sketches, _ = two_domains()
    with pytest.raises(UserError, match=f"no {missing} with content .* 80 training pictures"):
        centre_domains(rows, np.full(len(sketches), drawn))
