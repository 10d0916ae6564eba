"""A picture file looked at: decoded, measured and identified, and that once for a content."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from threading import Lock
from typing import Literal, NamedTuple

import imagehash
import numpy as np
from PIL import Image

from gallerist.data.boxes import Box, cut, picture_id, with_box
from gallerist.data.decoding import Profiles, decoded, read_bytes
from gallerist.data.formats import FORMAT_OF_SUFFIX, BadImage, format_of
from gallerist.data.manifest import Picture
from gallerist.io.row_store import Additions, RowStore

_FORMATS = (*dict.fromkeys(FORMAT_OF_SUFFIX.values()),)

_TOGETHER = 256
"""Findings added to a store at once."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong with one file or folder.

    severity: "skipped" when it is not in the manifest, "warning" when it is all the same.
    """

    path: str
    severity: Literal["skipped", "warning"]
    reason: str


Examined = tuple[Picture | None, Problem | None]
"""A picture, its problem where it is no usable one, or both: a picture with a warning."""


class _Found(NamedTuple):
    """What a picture's content says, as numbers: the row of it that is kept.

    width, height: pixels, of the box where it is a part. phash_high, phash_low: halves of the
    perceptual hash. format: its number among _FORMATS. boxed: 0 where the picture is a whole file.
    """

    width: int
    height: int
    phash_high: int
    phash_low: int
    format: int
    boxed: int


class Examiner:
    """Looks at the files of one part. Safe in several threads."""

    def __init__(
        self,
        *,
        part: str,
        min_side: int,
        max_pixels: int,
        profiles: Profiles = "apply",
        kept: RowStore | None = None,
    ) -> None:
        """min_side, max_pixels, profiles: see `decoding.decode_image`.

        kept: what was found in contents before, by the ids of their pictures. These are not decoded
        again; what is found now is added, but for files that are no usable picture.
        """
        self._part, self._kept = part, kept
        self._min_side, self._max_pixels, self._profiles = min_side, max_pixels, profiles
        keys = [] if kept is None else [*kept]
        self._rows = kept.take(keys) if kept is not None and keys else np.empty((0, 6), np.int64)
        self._row_of = {key: row for row, key in enumerate(keys)}
        self._new: dict[str, _Found] = {}
        self._lock = Lock()
        self._additions: Additions | None = None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """What is found within is kept, at the latest when the block ends, even by an error."""
        if self._kept is None:
            yield
            return
        with self._kept.adding() as self._additions:
            try:
                yield
            finally:
                self._flush()
                self._additions = None

    def examine(self, path: str, label: str, box: Box | None = None, content: str = "") -> Examined:
        """Return the picture in a file, its problem, or a picture with a warning.

        box: of the part that is the picture. One that is all of it is none. content: the SHA-256
        of the file where it is known; it is not read then, where that is kept.
        """
        found = self._known(picture_id(content, box)) if content else None
        try:
            if found is None:
                data = read_bytes(path, max_pixels=self._max_pixels)
                content = hashlib.sha256(data).hexdigest()
                identity = picture_id(content, box)
                found = self._known(identity) or self._look(data, identity, box)
        except BadImage as error:
            return None, Problem(with_box(path, box), "skipped", str(error))
        box = box if found.boxed else None
        suffix, path = PurePath(path).suffix, with_box(path, box)
        phash = f"{found.phash_high:08x}{found.phash_low:08x}"
        size = found.width, found.height
        picture = Picture(
            picture_id(content, box), path, label, self._part, content[:16], *size, phash
        )
        warning = _misnamed(suffix, _FORMATS[found.format])
        return picture, Problem(path, "warning", warning) if warning else None

    def _known(self, identity: str) -> _Found | None:
        row = self._row_of.get(identity)
        return None if row is None else _Found(*self._rows[row].tolist())

    def _look(self, data: bytes, identity: str, box: Box | None) -> _Found:
        """Decode a picture, and keep what is found. Raises BadImage where it is none."""
        how = {"max_pixels": self._max_pixels, "min_side": self._min_side}
        with decoded(data, **how, profiles=self._profiles) as pixels:
            height, width = pixels.shape[:2]
            if box == (0, 0, width, height):
                box = None
            if box is not None:
                _check_box(box, width, height, self._min_side)
                width, height = box.width, box.height
            phash = int(str(imagehash.phash(Image.fromarray(cut(pixels, box)))), 16)
        halves = phash >> 32, phash & 0xFFFFFFFF
        kind = _FORMATS.index(format_of(data))
        found = _Found(width, height, *halves, kind, int(box is not None))
        with self._lock:
            self._new[identity] = found
            if len(self._new) >= _TOGETHER:
                self._flush()
        return found

    def _flush(self) -> None:
        if self._new and self._additions is not None:
            self._additions.add([*self._new], np.array([*self._new.values()], np.int64))
        self._new = {}


def _check_box(box: Box, width: int, height: int, min_side: int) -> None:
    if not box.within(width, height):
        raise BadImage(f"the box {box} is not within the picture, which has {width}x{height}")
    if min(box.width, box.height) < min_side:
        raise BadImage(f"the box {box} is smaller than {min_side} pixels a side")


def _misnamed(suffix: str, content: str) -> str | None:
    promised = FORMAT_OF_SUFFIX.get(suffix.lower())
    if promised == content:
        return None
    says = f"'{suffix}' is no picture's extension" if suffix else "the name has no extension"
    return f"the content is {content}, though {f'the name says {promised}' if promised else says}"
