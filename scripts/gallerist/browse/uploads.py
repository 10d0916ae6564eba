"""Pictures that somebody drops on the page: bounded, decoded to be sure, kept for a while."""

import io
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from PIL import Image

from gallerist.browse.data_sets import NotThere
from gallerist.browse.thumbnails import DECODING, encoded
from gallerist.data.decoding import MAX_PIXELS, decode_image
from gallerist.io.errors import UserError

MAX_BYTES = 64 * 2**20
"""Of one picture: more than a camera makes."""

KEPT = 40
"""Pictures at a time; the oldest makes room."""

SHOWN_SIDE = 1024
"""Pixels of the longer side of an upload as it is shown."""

_SMALLEST_CROP = 8
"""Pixels a side, as the import's own least side is by default."""


@dataclass(frozen=True)
class Upload:
    """One picture. id: as in a manifest, by its content. shown: a copy for the page, as JPEG."""

    id: str
    path: Path
    width: int
    height: int
    shown: bytes


class Uploads:
    """The pictures given to one server, in a folder that goes with it."""

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        """max_pixels: larger pictures are refused before they are decoded."""
        self._folder = TemporaryDirectory(prefix="gallerist-browse-")
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._lock = Lock()
        self._max_pixels = max_pixels

    def add(self, data: bytes) -> Upload:
        """Take a picture file. Raises `decoding.BadImage` where it is none, or too large."""
        with DECODING:
            pixels = decode_image(data, max_pixels=self._max_pixels)
            shown = encoded(pixels, SHOWN_SIDE)
        height, width = pixels.shape[:2]
        identifier = sha256(data).hexdigest()[:16]
        path = Path(self._folder.name, identifier)
        with self._lock:
            path.write_bytes(data)
            upload = Upload(identifier, path, width, height, shown)
            self._kept[identifier] = upload
            self._kept.move_to_end(identifier)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)[1].path.unlink(missing_ok=True)
        return upload

    def get(self, identifier: str) -> Upload:
        """One of them. Raises NotThere."""
        with self._lock:
            found = self._kept.get(identifier)
        if found is None:
            raise NotThere("this picture is not kept any more: drop it again")
        return found

    def crop(self, data: bytes, box: Sequence[float]) -> Upload:
        """Take a part of a picture file: left, top, right, bottom as shares of its sides.

        It becomes a PNG, so that nothing is lost. Raises UserError for a box that is none.
        """
        with DECODING:
            pixels = decode_image(data, max_pixels=self._max_pixels)
        height, width = pixels.shape[:2]
        left, top, right, bottom = (min(1.0, max(0.0, share)) for share in box)
        columns = slice(round(left * width), round(right * width))
        rows = slice(round(top * height), round(bottom * height))
        part = pixels[rows, columns]
        if min(part.shape[:2]) < _SMALLEST_CROP:
            raise UserError(f"a region has at least {_SMALLEST_CROP} pixels a side: draw a larger")
        file = io.BytesIO()
        Image.fromarray(part).save(file, "PNG")
        return self.add(file.getvalue())

    def close(self) -> None:
        """Remove all of them."""
        self._folder.cleanup()
