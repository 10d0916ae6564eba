"""Section `dataset`: which pictures, and how they are divided."""

from typing import Annotated, Any, Literal, cast

from pydantic import PlainValidator, WithJsonSchema

from gallerist.settings.base import (
    LONGEST_NAME,
    Count,
    Int,
    OpenShare,
    Positive,
    Seed,
    Settings,
    key,
)
from gallerist.settings.texts import File, FileOrUrl, Folder, Subfolder
from gallerist.settings.truth import Truth

_A_FOLDER = "the path of a folder"
_NAME = (
    "a name of letters, digits, dots, hyphens and underscores that begins with a letter or digit, "
    f"{LONGEST_NAME} characters at most"
)
_OPEN_SHARE = "a number above 0 and below 1"


class EmbeddedPictures(Settings):
    """Source: silhouettes of ten animals, 1000 a class, which come with Gallerist. Nothing is
    downloaded. `{}` takes every default.
    """

    training_per_class: Int = key(40, "pictures", ge=1, le=580)
    """Pictures of each class to train and validate on. The three counts add up to 580 at most,
    because nearly equal silhouettes are left out."""
    gallery_per_class: Int = key(20, "pictures", ge=1, le=580)
    """Pictures of each class to find."""
    query_per_class: Int = key(10, "pictures", ge=1, le=580)
    """Pictures of each class to search with."""
    image_size: Int = key(96, "pixels", ge=8, le=1024)
    """Side of the written pictures. The originals have 28."""
    seed: Seed = key(99, doc="Chooses the pictures.")


class Archive(Settings):
    """Source: an archive, fetched once, checked and unpacked; inside, arranged as `layout` says."""

    location: FileOrUrl = key(
        ..., expects="a URL or the path of a file", example="https://example.org/animals.zip"
    )
    """Where the archive is."""
    sha256: str = key(..., expects="64 hexadecimal digits in lower case", pattern="^[0-9a-f]{64}$")
    """SHA-256 of the archive, as `sha256sum` prints it. Another file is refused."""
    subfolder: Subfolder = key("", expects="a relative path inside the archive")
    """Folder inside the archive that holds the pictures as `layout` says; empty for the archive's
    root."""
    max_gigabytes: Positive = key(20.0, "GB")
    """An archive that unpacks to more than this is refused."""


def _share_of_classes(example: float, purpose: str) -> Any:
    doc = f"Share to {purpose}. Layout `classes` only, or a table without parts, and needed there."
    return key(None, "fraction", doc=doc, expects=_OPEN_SHARE, example=example, absent=True)


def _some_classes(value: Any) -> int | float | list[str] | None:
    if isinstance(value, list):
        right = all(isinstance(each, str) for each in value) and 0 < len(value) == len(set(value))
    else:
        right = value is None or (type(value) is int and value >= 1)
        right = right or (type(value) is float and 0 < value < 1)
    if not right:
        raise ValueError("neither a number nor names of classes")
    return cast("int | float | list[str] | None", value)


SomeClasses = Annotated[
    int | float | list[str] | None,
    PlainValidator(_some_classes),
    WithJsonSchema(
        {"type": ["integer", "number", "array", "null"], "items": {"type": "string"}, "minItems": 1}
    ),
]
"""How many classes, which share of them, or their names."""


class Split(Settings):
    """Shares of every class's pictures. Layout `tree` needs `validation` alone: a share of the
    training pictures; so does a table with parts. Layout `classes`, and a table without parts, need
    all four, which add up to 1.
    """

    validation: OpenShare = key(0.2, "fraction", doc="Share held out of training, to validate by.")
    training: OpenShare | None = _share_of_classes(0.5, "train on")
    gallery: OpenShare | None = _share_of_classes(0.2, "find")
    query: OpenShare | None = _share_of_classes(0.1, "search with")
    unseen_classes: SomeClasses = key(
        None,
        "classes",
        expects="a whole number of at least 1, a share above 0 and below 1, or a list of classes",
        example=5,
        absent=True,
    )
    """Classes that nothing is learned from: gallery and query hold these alone, training and
    validation all others (zero-shot retrieval). How many, which share, or their names."""
    seed: Seed = key(99, doc="Divides the pictures of each class, and draws the unseen classes.")


class Extension(Settings):
    """Adds pictures from a pool to the training pictures. `null`: none."""

    pool: Folder = key(..., expects=_A_FOLDER, example="data/more_animals")
    """Folder with one folder a class."""
    per_class: Count = key(..., "pictures", example=100)
    """A class with fewer pictures is filled up to this many."""
    seed: Seed = key(99, doc="Chooses the pictures of the pool.")


class Images(Settings):
    """Which files are taken as pictures."""

    on_bad: Literal["skip", "fail"] = key("skip", noun="a way to treat bad pictures")
    """A file that is no readable picture. `skip`: left out, named with its reason, counted. `fail`:
    the import stops with the list of all of them."""
    min_side: Count = key(8, "pixels", doc="A picture whose shorter side is below this is bad.")
    max_pixels: Count = key(100_000_000, "pixels")
    """A picture with more (width x height) is bad. Guards against decompression bombs. How much
    memory a picture may take to decode is bounded besides, by what the machine has."""
    profiles: Literal["apply", "ignore"] = key("apply", noun="a way to treat colour profiles")
    """Pictures with a colour space of their own: an ICC profile, or the gamma and primaries of a
    PNG. `apply`: their colours in sRGB, as browsers show them. `ignore`: their numbers as they are.
    """

    @property
    def reading(self) -> dict[str, Any]:
        """What every reader of pictures is told, from the import to the figures."""
        return {"max_pixels": self.max_pixels, "profiles": self.profiles}


class Dataset(Settings):
    """Which pictures, and how they are divided. Exactly one of `embedded`, `folder`, `archive` and
    `table` says where they come from; a table may have a folder beside it.
    """

    name: str = key(
        ...,
        expects=_NAME,
        example="silhouettes",
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=LONGEST_NAME,
    )
    """Name of the data set. Results go to `results/<name>/`."""
    embedded: EmbeddedPictures | None = key(None, absent=True)
    folder: Folder | None = key(None, expects=_A_FOLDER, example="data/animals", absent=True)
    """Source: a folder of your own, arranged as `layout` says. A relative path starts where the
    workflow runs. Beside a table: where its paths start."""
    archive: Archive | None = key(None, absent=True)
    table: File | None = key(
        None, expects="the path of a file", example="data/animals.csv", absent=True
    )
    """Source: a table, CSV or Parquet, of one row a picture: its path, which starts in `folder` or
    else where the table is, and perhaps its part, label, domain, box and more. docs/data.md."""
    truth: Truth | None = key(None, absent=True)
    layout: Literal["tree", "classes"] = key("tree", noun="a layout")
    """`tree`: folders `training/`, `validation/gallery/` and `validation/query/`, each with one
    folder a class. `classes`: one folder a class, divided as `split` says."""
    split: Split = key(Split)
    extend: Extension | None = key(None)
    images: Images = key(Images)
    corrections: File | None = key(
        None, expects="the path of a file", example="corrections/animals.csv", absent=True
    )
    """What is known to be wrong with pictures, as `gallerist browse` writes it: the import leaves
    out bad pictures and leaks, and gives others their right class. docs/browse.md."""
    near_duplicate_distance: Int = key(4, "bits", ge=0, le=32)
    """Two pictures whose 64-bit perceptual hashes differ in at most this many bits are reported as
    near-duplicates. Unrelated pictures differ in about 32."""
