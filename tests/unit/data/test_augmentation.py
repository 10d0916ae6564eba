"""Augmentation, against Keras's ImageDataGenerator, scipy.ndimage and trigonometry."""

import hashlib
import math
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from scipy import ndimage, stats

from gallerist.data import reading
from gallerist.data.augmentation import augment, copy_id, draw_samples, draw_warp, write_copies
from gallerist.data.decoding import BadImage, decode_image
from gallerist.data.line_drawings import draw_lines, is_sketch
from gallerist.data.manifest import Manifest, Picture
from gallerist.data.preprocessing import Preprocessing, decode_ahead
from gallerist.data.warping import FILLS, Recipe, Warp, apply, matrix, shrink
from gallerist.io.errors import UserError
from gallerist.settings.augmentation import Augmentation

# Keras's own use of SciPy.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`")

PUBLISHED = Augmentation()

# Grey levels of 255. OpenCV 5 interpolates exactly and rounds: at most 0.50 was found, mean 0.25.
# OpenCV 4 rounds coordinates to 1/32 pixel first: at most 1.21 on pictures this smooth.
# Where it puts unlike pixels side by side (wrapped, or black): at most 4.3.
LARGEST_DIFFERENCE, SEAM_DIFFERENCE, MEAN_DIFFERENCE = 1.5, 5, 0.3

read_pixels = partial(reading.read_pixels, use=np.asarray)


def smooth_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random blobs over the whole range of grey levels: like a photo, neighbours are alike."""
    noise = np.random.default_rng(seed).random((height, width, 3))
    blobs = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.uint8(255 * (blobs - blobs.min()) / np.ptp(blobs))


def with_ranges(ranges: Augmentation, **values: Any) -> Augmentation:
    return Augmentation(**{**ranges.model_dump(), **values})


def drawn(number: int, ranges: Augmentation = PUBLISHED) -> Warp:
    return draw_warp(ranges, seed=7, picture_id="0123456789abcdef", copy=number)


def picture_of(path: Path, label: str = "cat", part: str = "training") -> Picture:
    with Image.open(path) as image:
        width, height = image.size
    content = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return Picture(content, str(path), label, part, content, width, height, "0" * 16)


@pytest.fixture
def photos(tmp_path: Path) -> Manifest:
    """Five pictures of two classes and several shapes, one class with a blank and an umlaut."""
    shapes = [(40, 60), (60, 40), (50, 50), (33, 90), (70, 21)]
    pictures = []
    for number, (height, width) in enumerate(shapes):
        path = tmp_path / "originals" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(smooth_picture(height, width, number)).save(path)
        pictures.append(picture_of(path, label=["cat", "großer Bär"][number % 2]))
    return Manifest(tuple(pictures))


def augmented(pictures: Manifest, **changes: Any) -> Manifest:
    return augment(pictures, Augmentation(**{"copies": 3, **changes}))


def contents(copies: Manifest) -> dict[tuple[str, int], tuple[str, bytes]]:
    """Id and pixels of every copy, by its original and its number."""
    return {
        (copy.source_id, Recipe.read(copy.recipe).copy): (copy.id, read_pixels([copy])[0].tobytes())
        for copy in copies
    }


# The transform, against Keras and SciPy


@pytest.fixture(scope="module")
def keras():
    """Keras's published augmentation, as a module."""
    return pytest.importorskip("keras.src.legacy.preprocessing.image")


def keras_parameters(warp: Warp, height: int, width: int) -> dict[str, float]:
    parameters = asdict(warp)
    parameters["flip_horizontal"] = parameters.pop("flip")
    return {**parameters, "tx": warp.tx * width, "ty": warp.ty * height}


@pytest.mark.parametrize("ranges", [PUBLISHED, Augmentation(rotation=180, shear=45, zoom=0.5)])
@pytest.mark.parametrize("fill", ["nearest", "reflect"])
def test_square_pictures_are_warped_as_keras_warps_them(keras, fill, ranges):
    generator = keras.ImageDataGenerator(fill_mode=fill)
    flips = 0
    for number in range(30):
        side = 40 + 7 * number
        image, warp = smooth_picture(side, side, number), drawn(number, ranges)
        theirs = generator.apply_transform(
            image.astype(np.float64), keras_parameters(warp, side, side)
        )
        difference = np.abs(apply(image, warp, fill) - theirs)
        assert difference.max() <= LARGEST_DIFFERENCE
        assert difference.mean() <= MEAN_DIFFERENCE
        flips += warp.flip
    assert 5 < flips < 25  # both kinds were compared


@pytest.mark.parametrize(("height", "width"), [(60, 100), (101, 45)])
def test_other_shapes_are_warped_as_keras_warps_them_inside_a_square(keras, height, width):
    """Keras has the right centre on a square, so: lay the picture on one, warp, cut it out."""
    generator = keras.ImageDataGenerator(fill_mode="constant")
    side = max(height, width) + 10
    top, left = (side - height) // 2, (side - width) // 2
    inside = np.s_[top : top + height, left : left + width]
    for number in range(10):
        image, warp = smooth_picture(height, width, number), drawn(number)
        square = np.zeros((side, side, 3))
        square[inside] = image
        theirs = generator.apply_transform(square, keras_parameters(warp, height, width))[inside]
        difference = np.abs(apply(image, warp, "constant") - theirs)
        assert difference.max() <= SEAM_DIFFERENCE
        assert difference.mean() <= MEAN_DIFFERENCE


@pytest.mark.parametrize(
    ("fill", "scipy_name"),
    [("nearest",) * 2, ("reflect",) * 2, ("wrap", "grid-wrap"), ("constant", "grid-constant")],
)
@pytest.mark.parametrize(("height", "width"), [(50, 90), (90, 31), (1, 6), (5, 1)])
def test_every_fill_is_scipys(fill, scipy_name, height, width):
    image = smooth_picture(height, width)
    for number in range(5):
        warp = replace(drawn(number), tx=0.7, ty=-0.6)  # so that much of the outside is seen
        (xx, xy, x), (yx, yy, y) = matrix(warp, height, width)
        theirs = np.dstack(
            [
                ndimage.affine_transform(
                    channel.astype(np.float64),
                    [[yy, yx], [xy, xx]],
                    [y, x],
                    order=1,
                    mode=scipy_name,
                )
                for channel in np.moveaxis(image, 2, 0)
            ]
        )
        tolerance = SEAM_DIFFERENCE if fill in {"wrap", "constant"} else LARGEST_DIFFERENCE
        assert np.abs(apply(image, warp, fill) - theirs).max() <= tolerance


# The transform, by hand


def test_the_identity_changes_no_pixel_and_a_flip_mirrors_them():
    image = smooth_picture(37, 64)
    assert np.array_equal(apply(image, Warp()), image)
    assert np.array_equal(apply(image, Warp(flip=True)), image[:, ::-1])


def test_a_quarter_turn_of_a_square_moves_every_pixel_to_its_place():
    image = smooth_picture(32, 32)
    assert np.array_equal(apply(image, Warp(theta=90)), np.rot90(image))


def test_half_a_turn_of_any_shape_moves_every_pixel_to_its_place():
    image = smooth_picture(21, 50)
    assert np.array_equal(apply(image, Warp(theta=180)), image[::-1, ::-1])


def test_shifts_are_fractions_of_their_own_side():
    image = smooth_picture(40, 100)
    assert np.array_equal(apply(image, Warp(tx=0.2))[:, :80], image[:, 20:])
    assert np.array_equal(apply(image, Warp(ty=0.25))[:30], image[10:])
    assert np.array_equal(apply(image, Warp(tx=-0.2))[:, :20], image[:, :1].repeat(20, axis=1))


def test_a_zoom_of_two_shrinks_what_is_seen_to_half():
    image = np.zeros((81, 121, 3), np.uint8)
    image[20:61, 30:91] = 255  # 41 x 61 about the centre
    columns = np.flatnonzero(apply(image, Warp(zx=2, zy=1))[40, :, 0] > 127)
    rows = np.flatnonzero(apply(image, Warp(zx=1, zy=2))[:, 60, 0] > 127)
    assert (columns.min(), columns.max()) == (45, 75)
    assert (rows.min(), rows.max()) == (30, 50)


def centre_of_mass(image: np.ndarray) -> tuple[float, float]:
    """Where what is not black lies: x and y, in pixels."""
    y, x = ndimage.center_of_mass(image[..., 0].astype(float))
    return x, y


@pytest.mark.parametrize(("height", "width"), [(120, 240), (240, 120), (161, 200)])
@pytest.mark.parametrize("theta", [-40, -15, 10, 40])
def test_a_disc_lands_where_trigonometry_says(height, width, theta):
    """Turned by theta about ((w - 1) / 2, (h - 1) / 2), anticlockwise as seen."""
    image = np.zeros((height, width, 3), np.uint8)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    cv2.circle(image, (round(centre_x + 30), round(centre_y - 20)), 8, (255, 255, 255), -1)
    x, y = centre_of_mass(image)
    angle = math.radians(theta)
    right, up = x - centre_x, centre_y - y
    turned_right = right * math.cos(angle) - up * math.sin(angle)
    turned_up = right * math.sin(angle) + up * math.cos(angle)
    found = centre_of_mass(apply(image, Warp(theta=theta), "constant"))
    assert found == pytest.approx((centre_x + turned_right, centre_y - turned_up), abs=0.05)


@given(
    theta=st.floats(-180, 180),
    zoom=st.floats(0.1, 3),
    flip=st.booleans(),
    height=st.integers(1, 900),
    width=st.integers(1, 900),
)
def test_turning_zooming_and_mirroring_keep_the_centre_and_all_angles(
    theta, zoom, flip, height, width
):
    map_back = matrix(Warp(theta=theta, zx=zoom, zy=zoom, flip=flip), height, width)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    assert map_back @ [*centre, 1] == pytest.approx(centre, abs=1e-9)
    linear = map_back[:, :2]
    assert linear.T @ linear == pytest.approx(zoom**2 * np.eye(2), abs=1e-9)
    assert np.linalg.det(linear) == pytest.approx(-(zoom**2) if flip else zoom**2)


def test_the_published_shear_is_two_tenths_of_a_degree():
    """0.2 degrees is 0.35 pixels at 100 pixels from the centre; 0.2 radians would be 20."""
    point = matrix(Warp(shear=0.2), 201, 201) @ [100, 200, 1]
    assert 100 - point[0] == pytest.approx(100 * math.sin(math.radians(0.2)))
    assert 100 - point[0] == pytest.approx(0.349, abs=0.001)


# The draw


def test_draws_have_the_distributions_of_keras(keras):
    """Two-sample Kolmogorov-Smirnov: the same numbers each time, so it cannot fail by chance."""
    generator = keras.ImageDataGenerator(
        rotation_range=40,
        width_shift_range=0.2,
        height_shift_range=0.2,
        shear_range=0.2,
        zoom_range=0.2,
        horizontal_flip=True,
    )
    theirs = [generator.get_random_transform((100, 100, 3), seed=n) for n in range(2000)]
    ours = [keras_parameters(drawn(number), 100, 100) for number in range(2000)]
    for name in ("theta", "tx", "ty", "shear", "zx", "zy"):
        same = stats.ks_2samp([one[name] for one in theirs], [one[name] for one in ours])
        assert same.pvalue > 0.01, name
    assert np.mean([one["flip_horizontal"] for one in ours]) == pytest.approx(0.5, abs=0.03)


def test_the_numbers_of_one_draw_do_not_depend_on_each_other():
    ranges = with_ranges(PUBLISHED, drawings=0.5)
    warps = [drawn(number, ranges) for number in range(2000)]
    numbers = np.array([list(asdict(warp).values()) for warp in warps], float)
    correlations = np.corrcoef(numbers.T) - np.eye(8)
    assert np.abs(correlations).max() < 0.08  # 3.5 standard errors


fractions = st.floats(0, 0.99)
ranges_drawn = st.builds(
    Augmentation,
    rotation=st.floats(0, 180),
    width_shift=fractions,
    height_shift=fractions,
    shear=st.floats(0, 89),
    zoom=fractions,
    horizontal_flip=st.booleans(),
    drawings=st.floats(0, 1),
)
arguments = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**63),
        "picture_id": st.text("0123456789abcdef", min_size=16, max_size=16),
        "copy": st.integers(1, 50),
    }
)


@given(ranges=ranges_drawn, arguments=arguments)
def test_draws_stay_in_their_ranges_and_are_the_same_again(ranges, arguments):
    warp = draw_warp(ranges, **arguments)
    assert abs(warp.theta) <= ranges.rotation
    assert abs(warp.tx) <= ranges.width_shift
    assert abs(warp.ty) <= ranges.height_shift
    assert abs(warp.shear) <= ranges.shear
    assert max(abs(warp.zx - 1), abs(warp.zy - 1)) <= ranges.zoom + 1e-12
    assert ranges.horizontal_flip or not warp.flip
    assert draw_warp(ranges, **arguments) == warp


@given(arguments=arguments, other=arguments)
def test_another_seed_picture_or_copy_is_another_draw(arguments, other):
    for name in arguments:
        changed = {**arguments, name: other[name]}
        same = draw_warp(PUBLISHED, **changed) == draw_warp(PUBLISHED, **arguments)
        assert same == (changed == arguments)


@given(arguments=arguments, ranges=ranges_drawn)
def test_one_range_does_not_move_the_draws_of_another(arguments, ranges):
    before = draw_warp(ranges, **arguments)
    changed = with_ranges(ranges, rotation=0, horizontal_flip=False, drawings=0)
    after = draw_warp(changed, **arguments)
    assert after == replace(before, theta=after.theta, flip=False, drawn=False)
    assert after.theta == 0


@given(arguments=arguments, shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_larger_share_of_drawings_keeps_those_that_there_were(arguments, shares):
    few, many = (
        draw_warp(with_ranges(PUBLISHED, drawings=share), **arguments) for share in sorted(shares)
    )
    assert many.drawn or not few.drawn
    assert replace(few, drawn=many.drawn) == many


def test_the_share_of_drawings_is_the_one_asked_for():
    found = sum(drawn(number, with_ranges(PUBLISHED, drawings=0.3)).drawn for number in range(2000))
    assert stats.binomtest(found, 2000, 0.3).pvalue > 1e-3


def test_no_range_at_all_is_the_identity():
    nothing = Augmentation(
        rotation=0, width_shift=0, height_shift=0, shear=0, zoom=0, horizontal_flip=False
    )
    assert {drawn(number, nothing) for number in range(20)} == {Warp()}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rotation", 181),
        ("rotation", -1),
        ("width_shift", 1.5),
        ("height_shift", -0.1),
        ("shear", 90),
        ("zoom", 1),
        ("zoom", float("nan")),
        ("fill", "mirror"),
        ("drawings", 1.1),
    ],
)
def test_a_range_out_of_bounds_is_refused_by_name(setting, value):
    with pytest.raises(ValidationError, match=rf"for Augmentation\n{setting}\n.*{value}"):
        Augmentation(**{setting: value})


# Drawings


def photo(side: int = 120) -> np.ndarray:
    """A brown disc on green, both a little noisy."""
    across, down = np.meshgrid(*[np.arange(side) - side / 2] * 2)
    image = np.where((np.hypot(across, down) < side / 4)[..., None], [120, 70, 30], [60, 160, 60])
    noise = np.random.default_rng(1).integers(-8, 9, image.shape)
    return (image + noise).astype(np.uint8)


def test_a_drawn_copy_that_is_not_moved_is_the_drawing_itself():
    assert np.array_equal(apply(photo(), Warp(drawn=True)), draw_lines(photo()))


def test_a_drawn_copy_is_a_sketch_and_its_line_lies_on_the_edge_of_the_animal():
    assert not is_sketch(photo())
    for image in (apply(photo(), Warp(drawn=True)), apply(photo(), Warp(theta=30, drawn=True))):
        assert is_sketch(image)
        down, across = np.nonzero(image[..., 0] < 128)
        assert np.abs(np.hypot(across - 60, down - 60) - 30).max() < 6


@pytest.mark.parametrize("fill", FILLS)
def test_around_a_drawn_copy_is_white_paper_whatever_the_fill(fill):
    half = np.zeros((100, 100, 3), np.uint8)
    half[50:] = 200  # the line between them runs to both edges
    moved = apply(half, Warp(tx=0.4, drawn=True), fill)
    assert (moved[:, 61:] == 255).all()
    assert (moved[:, :58] < 128).any()


def test_a_copy_of_a_sketch_has_its_lines_once():
    sketch = draw_lines(photo())
    assert np.array_equal(apply(sketch, Warp(drawn=True)), sketch)


def test_some_copies_are_drawn_and_the_others_stay_as_they_were(photos):
    before, after = contents(augmented(photos)), contents(augmented(photos, drawings=0.5))
    changed = {name for name in before if before[name] != after[name]}
    ranges = with_ranges(PUBLISHED, drawings=0.5)
    assert changed == {
        (id, copy)
        for id, copy in before
        if draw_warp(ranges, seed=99, picture_id=id, copy=copy).drawn
    }
    assert 0 < len(changed) < len(before)


# The copies


def test_every_copy_is_listed_with_its_original_and_its_numbers(photos):
    copies = augmented(photos)
    assert [copy.source_id for copy in copies] == [id for id in photos.ids for _ in range(3)]
    assert {copy.part for copy in copies} == {"training"}
    originals = photos.by_id()
    for number, copy in enumerate(copies):
        original, copy_number = originals[copy.source_id], number % 3 + 1
        warp = draw_warp(PUBLISHED, seed=99, picture_id=original.id, copy=copy_number)
        assert Recipe.read(copy.recipe) == Recipe(copy_number, 512, "nearest", warp)
        assert (copy.path, copy.label) == (original.path, original.label)
        assert copy.id == copy_id(original.id, copy.recipe)
        (pixels,) = read_pixels([copy])
        with Image.open(original.path) as source:
            assert (copy.width, copy.height) == (original.width, original.height) == source.size
            assert np.array_equal(pixels, apply(np.asarray(source), warp, "nearest"))


def test_a_manifest_of_copies_reads_back_and_has_one_column_more(photos, tmp_path):
    copies = augmented(photos)
    copies.write(tmp_path / "copies.csv")
    photos.write(tmp_path / "originals.csv")
    assert Manifest.read(tmp_path / "originals.csv", tmp_path / "copies.csv") == Manifest(
        (*photos, *copies)
    )
    heads = [
        (tmp_path / f"{name}.csv").read_text().splitlines()[0] for name in ("copies", "originals")
    ]
    assert heads[0] == f"{heads[1]},recipe"


def published_file(path: str, recipe: Recipe) -> bytes:
    """The PNG that was written of a copy when copies were files: decoded by Pillow, then warped."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    warped = apply(shrink(pixels, recipe.max_side), recipe.warp, recipe.fill)
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY]
    options += [cv2.IMWRITE_PNG_STRATEGY_RLE]
    _, encoded = cv2.imencode(".png", cv2.cvtColor(warped, cv2.COLOR_RGB2BGR), options)
    return encoded.tobytes()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("look", ["colour", "drawing"])
def test_what_a_network_reads_of_a_copy_is_what_a_file_of_it_would_give(tmp_path, suffix, look):
    pictures = []
    for number, shape in enumerate([(40, 60), (90, 70), (33, 120)]):
        path = tmp_path / f"{number}.{suffix}"
        Image.fromarray(smooth_picture(*shape, number)).save(path)
        pictures.append(picture_of(path))
    copies = augmented(Manifest(tuple(pictures)), max_side=80, drawings=0.3)
    preprocessing = Preprocessing(48, look=look)
    files = []
    for copy in copies:
        files.append(tmp_path / f"{copy.id}.png")
        files[-1].write_bytes(published_file(copy.path, Recipe.read(copy.recipe)))
        assert decode_image(files[-1].read_bytes()).shape == (copy.height, copy.width, 3)
    expected = np.stack([preprocessing.load(path) for path in files])
    for order in (np.arange(9), np.random.default_rng(0).permutation(9)):
        listed = [copies.pictures[place] for place in order]
        read = np.concatenate(list(decode_ahead(listed, preprocessing, threads=2, batch_size=4)))
        np.testing.assert_array_equal(read, expected[order])


def test_copies_that_stand_together_are_read_by_decoding_their_original_once(photos, monkeypatch):
    from gallerist.data import reading

    decoded = []

    def counted(path, **limits):
        decoded.append(path)
        return read_bytes(path, **limits)

    read_bytes = reading.read_bytes
    monkeypatch.setattr(reading, "read_bytes", counted)
    batches = decode_ahead(augmented(photos).pictures, Preprocessing(16), threads=1, batch_size=5)
    assert [len(batch) for batch in batches] == [5, 5, 5]
    assert decoded == photos.paths


def test_a_copy_that_cannot_be_read_is_named_by_its_original(photos):
    copies = augmented(photos)
    Path(photos.pictures[2].path).unlink()
    with pytest.raises(BadImage, match=r"2\.png: no such file"):
        list(decode_ahead(copies.pictures, Preprocessing(16), threads=2))


def test_an_id_depends_on_the_originals_content_and_the_recipe_alone(photos, tmp_path):
    moved = Manifest(
        tuple(replace(each, path=f"elsewhere/{each.path}", label="dog") for each in photos)
    )
    assert augmented(moved).ids == augmented(photos).ids
    for changes in ({"fill": "reflect"}, {"max_side": 80}, {"rotation": 39}):
        assert not set(augmented(photos, **changes).ids) & set(augmented(photos).ids)


def test_a_copy_does_not_depend_on_other_pictures_or_later_copies(photos):
    all_copies = contents(augmented(photos))
    few = Manifest((photos.pictures[3], photos.pictures[1]))
    for copies in (1, 3, 5):
        some = contents(augmented(few, copies=copies))
        assert len(some) == 2 * copies
        shared = some.keys() & all_copies.keys()
        assert len(shared) == 2 * min(copies, 3)
        assert all(some[name] == all_copies[name] for name in shared)


def test_another_seed_gives_other_copies(photos):
    assert not set(augmented(photos).ids) & set(augmented(photos, seed=1).ids)


def test_copies_of_a_flat_picture_have_the_same_pixels_but_not_the_same_id(tmp_path):
    path = tmp_path / "flat.png"
    Image.new("RGB", (30, 20), (200, 30, 90)).save(path)
    still = {"rotation": 0, "width_shift": 0, "height_shift": 0, "shear": 0, "zoom": 0}
    for changes in ({}, {**still, "horizontal_flip": False}):
        copies = augmented(Manifest((picture_of(path),)), **changes)
        assert len({pixels.tobytes() for pixels in read_pixels(copies.pictures)}) == 1
        assert len(set(copies.ids)) == 3


def test_a_large_picture_is_shrunk_before_it_is_warped(tmp_path):
    path = tmp_path / "large.png"
    large = smooth_picture(90, 300)
    Image.fromarray(large).save(path)
    picture = picture_of(path)
    (copy,) = augmented(Manifest((picture,)), copies=1, max_side=100)
    assert (copy.width, copy.height) == (100, 30)
    averaged = large.reshape(30, 3, 100, 3, 3).mean(axis=(1, 3))  # each 3 x 3 pixels
    assert np.abs(shrink(large, 100) - averaged).max() <= 0.51
    warp = draw_warp(PUBLISHED, seed=99, picture_id=picture.id, copy=1)
    assert np.array_equal(read_pixels([copy])[0], apply(shrink(large, 100), warp))


@given(height=st.integers(1, 400), width=st.integers(1, 400), max_side=st.integers(1, 400))
@settings(max_examples=50)
def test_shrinking_keeps_the_shape_and_never_enlarges(height, width, max_side):
    small = shrink(np.zeros((height, width, 3), np.uint8), max_side)
    assert max(small.shape[:2]) == min(max_side, max(height, width))
    scale = max(small.shape[:2]) / max(height, width)
    assert small.shape[0] == pytest.approx(max(1, height * scale), abs=0.5)
    assert small.shape[1] == pytest.approx(max(1, width * scale), abs=0.5)


@given(number=st.integers(1, 9), arguments=arguments, ranges=ranges_drawn)
def test_a_recipe_reads_back_to_the_last_bit(number, arguments, ranges):
    recipe = Recipe(number, 512, "wrap", draw_warp(ranges, **arguments))
    assert Recipe.read(recipe.text()) == recipe


def test_no_copies_give_an_empty_manifest(photos):
    assert len(augmented(photos, copies=0)) == 0


@pytest.mark.parametrize("part", ["validation", "gallery", "query"])
def test_a_picture_that_is_not_for_training_is_refused(photos, part):
    wrong = replace(photos.pictures[2], part=part)
    mixed = Manifest((*photos.pictures[:2], wrong))
    with pytest.raises(UserError, match=rf"2\.png belongs to {part}"):
        augmented(mixed)


@pytest.mark.parametrize(
    ("setting", "value"), [("copies", -1), ("max_side", 0), ("max_side", 40_000)]
)
def test_a_setting_out_of_bounds_is_refused_by_name(photos, setting, value):
    with pytest.raises(ValidationError, match=rf"for Augmentation\n{setting}\n.*{value}"):
        augmented(photos, **{setting: value})


def test_every_fill_reaches_the_pixels(photos):
    turned = {fill: contents(augmented(photos, copies=1, fill=fill)) for fill in FILLS}
    for name in turned["nearest"]:
        assert len({turned[fill][name] for fill in FILLS}) == len(FILLS)


# Files, where they are asked for


def test_files_hold_what_the_recipes_make_and_the_manifest_lists_them_instead(photos, tmp_path):
    copies = augmented(photos)
    files = write_copies(copies, tmp_path / "copies", threads=2)
    assert files.ids == copies.ids
    for copy, file in zip(copies, files, strict=True):
        name = f"{copy.source_id}-{Recipe.read(copy.recipe).copy}.bmp"
        assert Path(file.path) == tmp_path / "copies" / copy.label / name
        assert file == replace(copy, path=file.path, recipe="")
        assert np.array_equal(read_pixels([file])[0], read_pixels([copy])[0])
    written = [path for path in (tmp_path / "copies").rglob("*") if path.is_file()]
    assert sorted(map(str, written)) == sorted(files.paths)


def test_threads_change_neither_bytes_nor_order_of_the_files(photos, tmp_path):
    copies = augmented(photos)
    one, four = (
        write_copies(copies, tmp_path / str(threads), threads=threads) for threads in (1, 4)
    )
    assert one.ids == four.ids
    assert [Path(a).read_bytes() for a in one.paths] == [Path(b).read_bytes() for b in four.paths]


@pytest.mark.parametrize("label", ["..", "a/b", "", "."])
def test_a_label_that_would_leave_the_folder_is_refused(photos, tmp_path, label):
    wrong = Manifest((replace(photos.pictures[0], label=label),))
    with pytest.raises(UserError, match="no name for a folder"):
        write_copies(augmented(wrong), tmp_path / "copies", threads=1)


def test_a_picture_that_cannot_be_read_is_named(photos, tmp_path):
    broken = Path(photos.pictures[2].path)
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UserError, match=r"2\.png: truncated"):
        write_copies(augmented(photos), tmp_path / "copies", threads=2)


def test_a_picture_of_too_many_pixels_is_named(photos, tmp_path):
    with pytest.raises(UserError, match=r"3\.png: 90x33 pixels: more than 2500"):
        write_copies(augmented(photos), tmp_path / "copies", threads=1, max_pixels=2500)


# The sheet of samples


def test_the_sheet_shows_originals_of_every_class_each_before_its_copies(photos, tmp_path):
    copies = augmented(photos)
    draw_samples(photos, copies, tmp_path / "sheet.png")
    sheet = read_pixels([tmp_path / "sheet.png"])[0]
    assert sheet.shape == (5 * 132, 4 * 132, 3)  # five originals of two classes, three copies each
    of_another_class = photos.pictures[1]
    row = [of_another_class, *[each for each in copies if each.source_id == of_another_class.id]]
    for across, pixels in enumerate(read_pixels(row)):
        tile = sheet[132:260, across * 132 : across * 132 + 128]
        shown = cv2.resize(pixels, (85, 128), interpolation=cv2.INTER_CUBIC)
        assert np.abs(tile[:, 22:107].astype(int) - shown).mean() < 5


def test_a_sheet_of_many_pictures_and_copies_stays_small(photos, tmp_path):
    many = Manifest(
        tuple(
            replace(each, id=f"{number}{each.id}", source_id=f"{number}{each.id}")
            for number in range(3)
            for each in photos
        )
    )
    draw_samples(many, augmented(many, copies=20), tmp_path / "sheet.png")
    assert read_pixels([tmp_path / "sheet.png"])[0].shape == (8 * 132, 8 * 132, 3)
