"""TIFF: pictures of every depth, kind of number and arrangement, of which Pillow reads a part.

Pillow and the libtiff in it read pictures of 8 bits a channel and unpack every compression. For
other depths the packed bytes are wrapped as such a picture, one grey pixel a byte, and what these
bytes mean is worked out here (TIFF, revision 6.0; Adobe's technical notes for predictors).
"""

import struct
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from gallerist.data.formats import BadImage
from gallerist.data.orientation import upright
from gallerist.io.arrays import AnyArray, Pixels

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_FILL_ORDER, _STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES = 266, 273, 274, 277, 278, 279
_PLANAR, _PREDICTOR, _COLOURS, _TILE_WIDTH, _TILE_LENGTH = 284, 317, 320, 322, 323
_TILES, _TILE_BYTES, _EXTRA, _FORMAT, _SUBTYPE, _SUBFILES = 324, 325, 338, 339, 254, 330
_DNG, _PROFILE = 50706, 34675

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK = 0, 1, 2, 3, 5
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_OF_ANY_BYTES = {1, 5, 8, 32773, 32946, 34925, 50000}
"""Compressions of bytes, whatever they mean; those of pictures are left to Pillow."""

_UNREAD = {
    33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 50001: "WebP",
    50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip

_MOST_SAMPLES = 32


@dataclass(frozen=True)
class Tiff:
    """What the first directory of a TIFF says."""

    image: TiffImagePlugin.ImageFileDirectory_v2
    order: str
    width: int
    height: int
    bits: int
    samples: int
    kind: int
    photometric: int
    planes: int
    compression: int
    orientation: int

    def tag(self, number: int, default: Any = None) -> Any:
        """The first or only value of a tag."""
        value = self.image.get(number, default)
        return value[0] if isinstance(value, tuple) and value else value

    def every(self, number: int) -> tuple[Any, ...]:
        """All values of a tag."""
        value = self.image.get(number, ())
        return value if isinstance(value, tuple) else (value,)

    @property
    def bytes_a_pixel(self) -> int:
        """That decoding takes at most: the unpacked bytes, the numbers, and wider ones for both."""
        single = 0 if self.bits in (8, 16, 32, 64) else self.bits
        return 16 + self.samples * (3 * (self.bits // 8 + 1) + 8 + single)

    @property
    def profile(self) -> bytes | None:
        """The ICC profile."""
        found = self.image.get(_PROFILE)
        return found if isinstance(found, bytes) else None

    @property
    def is_plain(self) -> bool:
        """Whether Pillow reads it as it is meant."""
        if self.order == ">" and self.image._bigtiff:
            return False
        if self.compression not in _OF_ANY_BYTES:
            return True
        if self.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK):
            return True
        if self.photometric == _PALETTE or (self.kind != _UNSIGNED and self.bits != 8):
            return False
        return self.bits == 8 or (self.bits == 1 and self.samples == 1)


class _Unlimited(TiffImagePlugin.TiffImageFile):
    """Pillow's reader without its own limit: that is checked before, and bytes are no pixels."""

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        ImageFile.ImageFile.load_prepare(self)


def read_tiff(data: bytes) -> Tiff:
    """Read the first directory. Raises BadImage where it names no picture that can be read."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    head = data[: 16 if big else 8]
    if len(head) < (16 if big else 8):
        raise BadImage(f"truncated: the TIFF does not end within its {len(data)} bytes")
    start = b"II*\0" if order == "<" else b"MM\0*"
    directory = TiffImagePlugin.ImageFileDirectory_v2(start + bytes(4))
    directory._bigtiff = big  # Pillow would look for it where little-endian files have it
    at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    if not 0 < at < len(data):
        raise BadImage(f"truncated: the TIFF does not end within its {len(data)} bytes")
    file = BytesIO(data)
    file.seek(at)
    directory.load(file)

    def number(tag: int, default: int) -> int:
        value = directory.get(tag, default)
        value = value[0] if isinstance(value, tuple) and value else value
        if not isinstance(value, int):
            raise BadImage(f"truncated or damaged TIFF: tag {tag} is {value!r}")
        return value

    if (
        _DNG in directory
        or data[8:10] == b"CR"
        or (number(_SUBTYPE, 0) & 1 and _SUBFILES in directory)
    ):
        raise BadImage("not read: a camera's raw file; convert it to JPEG")
    width, height = number(_WIDTH, 0), number(_LENGTH, 0)
    if width <= 0 or height <= 0:
        raise BadImage("truncated or damaged TIFF: it does not say how large it is")
    samples = number(_SAMPLES, 1)
    if not 0 < samples <= _MOST_SAMPLES:
        raise BadImage(f"a TIFF of {samples} channels, which is not read here")
    found = Tiff(
        directory, order, width, height, number(_BITS, 1), samples, number(_FORMAT, _UNSIGNED),
        number(_PHOTOMETRIC, _BLACK_IS_ZERO), samples if number(_PLANAR, 1) == 2 else 1,
        number(_COMPRESSION, 1), number(_ORIENTATION, 1),
    )  # fmt: skip
    _check(found)
    return found


def _check(tiff: Tiff) -> None:
    """Refuse what would take memory beyond that of the picture, or has no known meaning."""
    across, down = tiff.tag(_TILE_WIDTH, 0), tiff.tag(_TILE_LENGTH, 0)
    for side, whole in ((across, tiff.width), (down, tiff.height)):
        if not isinstance(side, int) or side > whole + 4096:
            raise BadImage("truncated or damaged TIFF: its tiles are much larger than the picture")
    if tiff.compression in _UNREAD:
        raise BadImage(
            f"a TIFF compressed by {_UNREAD[tiff.compression]}, which is not read here: "
            "save it with LZW"
        )
    if tiff.is_plain:
        return
    if len({*tiff.every(_BITS)}) > 1 or len({*tiff.every(_FORMAT)}) > 1:
        raise BadImage("a TIFF whose channels differ in depth, which is not read here")
    if tiff.kind == _SIGNED:
        raise BadImage("signed integer pixels, whose scale is unknown: save it with 8 or 16 bits")
    if tiff.kind == _UNSIGNED and tiff.bits == 32:
        raise BadImage("32-bit integer pixels, whose scale is unknown: save it with 8 or 16 bits")
    known = (16, 24, 32, 64) if tiff.kind == _FLOAT else range(1, 33)
    if tiff.kind not in (_UNSIGNED, _FLOAT) or tiff.bits not in known:
        raise BadImage(
            f"a TIFF of {tiff.bits} bits a channel of kind {tiff.kind}, which is not "
            "read here: save it with 8 or 16 bits"
        )


def decode_tiff(data: bytes, tiff: Tiff) -> Image.Image:
    """The picture, upright, as an image of any mode with 8 bits a channel, or with one.

    Raises BadImage, and what Pillow raises on damage.
    """
    if tiff.is_plain:
        with suppress(SyntaxError, KeyError):  # what Pillow has no name for
            return _plainly(data)
    return upright(_image(data, tiff), tiff.orientation)


def _image(data: bytes, tiff: Tiff) -> Image.Image:
    planes = [
        _numbers(tiff, _bytes_of_plane(data, tiff, plane), tiff.samples // tiff.planes)
        for plane in range(tiff.planes)
    ]
    values = planes[0] if tiff.planes == 1 else np.concatenate(planes, axis=2)
    del planes
    if tiff.photometric == _PALETTE:
        return Image.fromarray(_palette(tiff)[values[..., 0].astype(np.intp)])
    colours = {_RGB: 3, _CMYK: 4}.get(tiff.photometric, 1)
    if values.shape[2] < colours:
        raise BadImage(
            f"truncated or damaged TIFF: {values.shape[2]} channels for colours of {colours}"
        )
    shown = _to_bytes(values[..., :colours], tiff)
    if tiff.photometric == _WHITE_IS_ZERO:
        shown = 255 - shown
    if tiff.photometric == _CMYK:
        return Image.fromarray(shown, "CMYK")
    extra = tiff.every(_EXTRA)
    if values.shape[2] > colours and extra[:1] in ((1,), (2,)):
        alpha = _to_bytes(values[..., colours : colours + 1], tiff)
        if extra[0] == 1:  # the colours are multiplied by it
            whole = np.maximum(alpha, 1).astype(np.uint16)
            shown = np.minimum((shown.astype(np.uint16) * 255 + whole // 2) // whole, 255)
            shown = shown.astype(np.uint8)
        if colours == 1:
            shown = np.repeat(shown, 3, axis=2)
        return Image.fromarray(np.concatenate([shown, alpha], axis=2))
    return Image.fromarray(shown[..., 0] if colours == 1 else shown)


def _plainly(data: bytes) -> Image.Image:
    """As Pillow reads it, which turns it upright too, though not by what stands in XMP alone."""
    image = _Unlimited(BytesIO(data), "")
    image.info.pop("xmp", None)
    image.load()
    return image


def _bytes_of_plane(data: bytes, tiff: Tiff, plane: int) -> AnyArray:
    """The unpacked bytes of one plane: (height, bytes a row) uint8."""
    tiled = _TILES in tiff.image
    offsets, sizes = (
        tiff.every(_TILES if tiled else _STRIPS),
        tiff.every(_TILE_BYTES if tiled else _STRIP_BYTES),
    )
    if not offsets or (sizes and len(sizes) != len(offsets)) or len(offsets) % tiff.planes:
        raise BadImage("truncated or damaged TIFF: it does not say where its pixels are")
    share = len(offsets) // tiff.planes
    mine = slice(plane * share, (plane + 1) * share)
    bits = tiff.bits * (tiff.samples // tiff.planes)
    entries: dict[int, tuple[int, list[int]]] = {
        _BITS: (3, [8]),
        _COMPRESSION: (3, [tiff.compression]),
        _PHOTOMETRIC: (3, [1]),
        _SAMPLES: (3, [1]),
        _FILL_ORDER: (3, [int(tiff.tag(_FILL_ORDER, 1))]),
    }
    if tiled:
        across, down = tiff.tag(_TILE_WIDTH), tiff.tag(_TILE_LENGTH)
        if across * bits % 8 or not across or not down:
            raise BadImage(f"a TIFF of tiles of {bits} bits a pixel, which is not read here")
        columns, rows = -(-tiff.width // across), -(-tiff.height // down)
        wide, tall = columns * across * bits // 8, rows * down
        entries |= {_TILE_WIDTH: (4, [across * bits // 8]), _TILE_LENGTH: (4, [down])}
        where = (_TILES, _TILE_BYTES)
    else:
        wide, tall = (tiff.width * bits + 7) // 8, tiff.height
        entries[_ROWS] = (4, [min(int(tiff.tag(_ROWS, tall)), tall)])
        where = (_STRIPS, _STRIP_BYTES)
    length = len(data)
    counts = list(sizes[mine]) if sizes else [length - offset for offset in offsets[mine]]
    if any(a < 0 or b < 0 or a + b > length for a, b in zip(offsets[mine], counts, strict=True)):
        raise BadImage(f"truncated: the TIFF does not end within its {length} bytes")
    entries |= {_WIDTH: (4, [wide]), _LENGTH: (4, [tall])}
    entries |= {where[0]: (4, list(offsets[mine])), where[1]: (4, counts)}
    with _Unlimited(BytesIO(_wrapped(data, entries)), "") as wrapped:
        rows_of_bytes = np.asarray(wrapped)
    unpacked = _without_predictor(rows_of_bytes, tiff, entries)
    return unpacked[: tiff.height, : (tiff.width * bits + 7) // 8]


def _wrapped(data: bytes, entries: dict[int, tuple[int, list[int]]]) -> bytes:
    """The file with another first directory, behind all the rest."""
    start = len(data) + len(data) % 2
    directory, more = struct.pack("<H", len(entries)), b""
    beyond = start + 6 + 12 * len(entries)
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            place = struct.pack("<I", beyond + len(more))
            more += packed
        else:
            place = packed.ljust(4, b"\0")
        directory += struct.pack("<HHI", tag, kind, len(values)) + place
    head = b"II*\0" + struct.pack("<I", start)
    return b"".join([head, data[8:], bytes(len(data) % 2), directory, bytes(4), more])


def _without_predictor(
    rows: AnyArray, tiff: Tiff, entries: dict[int, tuple[int, list[int]]]
) -> AnyArray:
    """Undo differences between neighbours: rows of (height, bytes), in the order of the file."""
    predictor = tiff.tag(_PREDICTOR, 1)
    if predictor == 1 or tiff.compression in (1, 32773):
        return rows
    samples = tiff.samples // tiff.planes
    across = entries.get(_TILE_WIDTH, entries[_WIDTH])[1][0]
    size = tiff.bits // 8
    if tiff.bits % 8 or predictor not in (2, 3) or (predictor == 3) != (tiff.kind == _FLOAT):
        raise BadImage(f"a TIFF of {tiff.bits} bits with predictor {predictor}, which is not read")
    segments = rows.reshape(len(rows), -1, across)
    if predictor == 2:
        stored = segments.copy().view(f"{tiff.order}u{size}")
        numbers = stored.reshape(*stored.shape[:2], -1, samples)
        native = numbers.astype(f"u{size}")
        summed = native.cumsum(axis=2, dtype=native.dtype).astype(f"{tiff.order}u{size}")
        return summed.reshape(len(rows), -1).view(np.uint8)
    steps = segments.reshape(*segments.shape[:2], -1, samples)
    planes = steps.cumsum(axis=2, dtype=np.uint8).reshape(*segments.shape[:2], size, -1)
    ordered = planes if tiff.order == ">" else planes[:, :, ::-1]  # highest bytes come first
    return np.ascontiguousarray(ordered.swapaxes(2, 3)).reshape(len(rows), -1)


def _numbers(tiff: Tiff, rows: AnyArray, samples: int) -> AnyArray:
    """Bytes of rows as the numbers they stand for: (height, width, samples)."""
    height, width, bits = len(rows), tiff.width, tiff.bits
    if bits == 8:
        return rows.reshape(height, width, samples)
    if bits in (16, 32, 64):
        letter = "f" if tiff.kind == _FLOAT else "u"
        stored = np.ascontiguousarray(rows).view(f"{tiff.order}{letter}{bits // 8}")
        return stored.astype(f"{letter}{bits // 8}", copy=False).reshape(height, width, samples)
    single = np.unpackbits(np.ascontiguousarray(rows), axis=1)[:, : width * samples * bits]
    each = single.reshape(height, width, samples, bits)
    values: AnyArray = np.zeros((height, width, samples), np.uint32)
    for place in range(bits):
        values = values << 1 | each[..., place]
    if bits == 24 and tiff.order == "<":
        values = (values & 0xFF) << 16 | values & 0xFF00 | values >> 16
    return values


def _to_bytes(values: AnyArray, tiff: Tiff) -> Pixels:
    """Numbers as 0 to 255: whole ones by their depth, fractions by the smallest usual scale."""
    if tiff.kind == _FLOAT:
        low, high = float(values.min()), float(values.max())
        scale = next((full for full in (1, 255, 65535) if low >= 0 and high <= full), None)
        if scale is None:  # also when a value is NaN
            raise BadImage(f"float pixels from {low:g} to {high:g}, whose scale is unknown")
        exact = values if values.dtype.itemsize > 2 else values.astype(np.float32)
        return np.asarray(np.rint(exact * (255 / scale)), np.uint8)
    if tiff.bits == 8:
        return np.asarray(values, np.uint8)
    full = (1 << tiff.bits) - 1
    wide = values.astype(np.uint32 if tiff.bits <= 23 else np.uint64)
    return ((wide * 255 + full // 2) // full).astype(np.uint8)


def _palette(tiff: Tiff) -> Pixels:
    """The colours by number, (n, 3): of 16 bits, or of 8 where none is larger."""
    values: AnyArray = np.array(tiff.every(_COLOURS), np.uint16)
    count = 1 << tiff.bits
    if len(values) < 3 * count:
        raise BadImage("truncated or damaged TIFF: its palette is too short")
    if values.max() > 255:
        values = values >> 8
    return np.ascontiguousarray(values[: 3 * count].reshape(3, count).T).astype(np.uint8)
