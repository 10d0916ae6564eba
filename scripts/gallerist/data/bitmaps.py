"""BMP, and the icons and cursors that hold such bitmaps: every kind that browsers show.

Source: Microsoft, Bitmap Header Types; OS/2 2.x, Presentation Manager Programming Reference; and
for what these leave open (when is a fourth channel an alpha channel?) what browsers do.
"""

import struct
from dataclasses import dataclass, replace

import numpy as np

from gallerist.data.colours import Encoding, Source
from gallerist.data.formats import BadImage
from gallerist.io.arrays import AnyArray, Integers, Pixels

_RAW, _RLE8, _RLE4, _FIELDS, _JPEG, _PNG, _ALPHA_FIELDS, _RLE24 = range(8)
_FORMATS = {_JPEG: "JPEG", _PNG: "PNG"}
_SRGB_WHITE = (0.3127, 0.3290)


@dataclass(frozen=True)
class Bitmap:
    """What the headers of a bitmap say.

    start: of the info header; pixels: of the pixels, in the file. masks: of red, green, blue and
    alpha in a pixel of 16 bits and more. palette: (n, 3) RGB of one with fewer. colours: None or
    what its numbers mean.
    """

    start: int
    pixels: int
    width: int
    height: int
    upside_down: bool
    bits: int
    compression: int
    masks: tuple[int, int, int, int]
    palette: Pixels
    colours: Source

    @property
    def holds(self) -> str:
        """The format of the picture that takes the place of the pixels, or ""."""
        return _FORMATS.get(self.compression, "")


def read_header(data: bytes, start: int = 14, *, in_icon: bool = False) -> Bitmap:
    """What a bitmap says of itself.

    start: of its info header. in_icon: no file header is before it, and a mask is behind it.

    Raises BadImage for what no browser shows, and struct.error where the file ends before.
    """
    size = struct.unpack_from("<I", data, start)[0]
    offset = 0 if in_icon else struct.unpack_from("<I", data, 10)[0]
    windows, core = size in (40, 52, 56, 108, 124), size == 12
    if not (windows or core or (16 <= size <= 64 and (size % 4 == 0 or size in (42, 46)))):
        raise BadImage(f"damaged BMP: a header of {size} bytes")
    compression = used = 0
    if core:
        width, height, _, bits = struct.unpack_from("<HHHH", data, start + 4)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, start + 4)
        compression = struct.unpack_from("<I", data, start + 16)[0] if size >= 20 else _RAW
        used = struct.unpack_from("<I", data, start + 32)[0] if size >= 36 else 0
    if in_icon:
        height = int(height / 2)
    compression = _checked(bits, compression, windows=windows)
    end, masks = start + size, (0, 0, 0, 0)
    if bits >= 16:
        masks, end = _masks(data, start, size, bits, compression, in_icon=in_icon)
    entry = 3 if core else 4
    count = 0 if bits in (0, 16, 24, 32) else min(used or 1 << bits, 1 << bits)
    if offset == start + size and bits <= 8:  # of the palette, though the pixels are meant
        offset = 0
    if offset:
        count = min(count, max(0, offset - end) // entry)
    table = np.frombuffer(data, np.uint8, count * entry, end).reshape(count, entry)
    return Bitmap(
        start, offset or end + count * entry, width, abs(height), height < 0, bits, compression,
        masks, table[:, 2::-1], _colours(data, start, size),
    )  # fmt: skip


def _checked(bits: int, compression: int, *, windows: bool) -> int:
    """The compression, with OS/2's number for three bytes a pixel told from that of Windows."""
    if not windows and compression == 4 and bits == 24:
        return _RLE24
    allowed = {
        _RAW: (1, 2, 4, 8, 16, 24, 32), _RLE8: (1, 2, 4, 8), _RLE4: (1, 2, 4),
        _FIELDS: (16, 32), _ALPHA_FIELDS: (16, 32), _JPEG: (0,), _PNG: (0,),
    }  # fmt: skip
    if bits not in allowed.get(compression, ()):
        raise BadImage(
            f"a BMP of {bits} bits and compression {compression}, which is not read here: "
            "convert it to PNG"
        )
    return compression


def _masks(
    data: bytes, start: int, size: int, bits: int, compression: int, *, in_icon: bool
) -> tuple[tuple[int, int, int, int], int]:
    """The masks of a pixel, and where the headers end."""
    end, alpha = start + size, 0
    if compression in (_FIELDS, _ALPHA_FIELDS):
        colours = struct.unpack_from("<3I", data, start + 40)
        if size == 40:
            end += 16 if compression == _ALPHA_FIELDS else 12
    elif bits == 16:
        colours = (0x7C00, 0x3E0, 0x1F)
    else:
        colours = (0xFF0000, 0xFF00, 0xFF)
    if size in (56, 108, 124) or (size == 40 and compression == _ALPHA_FIELDS):
        alpha = struct.unpack_from("<I", data, start + 52)[0]
    elif in_icon and bits == 32 and compression == _RAW:
        alpha = 0xFF000000
    every = (1 << bits) - 1
    return (colours[0] & every, colours[1] & every, colours[2] & every, alpha & every), end


def _colours(data: bytes, start: int, size: int) -> Source:
    """The colour space of the fourth and fifth version of the header."""
    if size < 108:
        return None
    kind = struct.unpack_from("<4s", data, start + 56)[0][::-1]
    if kind == b"MBED" and size == 124:
        at, length = struct.unpack_from("<II", data, start + 112)
        return data[start + at : start + at + length]
    if kind == b"\0\0\0\0":  # calibrated: end points in 2.30 fixed point, gammas in 16.16
        red, green, blue = (
            tuple(v / 2**30 for v in struct.unpack_from("<2I", data, start + 60 + 12 * each))
            for each in range(3)
        )
        gammas = tuple(v / 2**16 for v in struct.unpack_from("<3I", data, start + 96))
        return Encoding.of((*_SRGB_WHITE, *red, *green, *blue), gammas)
    return None


def decode_bitmap(data: bytes, header: Bitmap, *, in_icon: bool = False) -> Pixels:
    """The pixels of a bitmap as (height, width, 3 or 4) RGB or RGBA. Raises BadImage."""
    if header.compression in (_RLE4, _RLE8, _RLE24):
        values = _run_lengths(data, header)
    else:
        values = _values(data, header, header.pixels, header.bits)
    pixels = _by_masks(values, header) if header.bits >= 16 else _by_palette(values, header)
    if not header.upside_down:
        pixels = pixels[::-1]
    if in_icon and pixels.shape[2] == 3:
        pixels = _masked(data, header, pixels)
    return np.ascontiguousarray(pixels)


def _values(data: bytes, header: Bitmap, at: int, bits: int) -> AnyArray:
    """The numbers of the pixels, (height, width), the rows as they lie in the file."""
    width, height = header.width, header.height
    stride, needed = (width * bits + 31) // 32 * 4, (width * bits + 7) // 8
    there = data[at : at + stride * height]
    if len(there) < stride * (height - 1) + needed:
        raise BadImage(f"truncated: the BMP does not end within its {len(data)} bytes")
    rows = np.frombuffer(there.ljust(stride * height, b"\0"), np.uint8).reshape(height, stride)
    if bits < 8:
        every = np.unpackbits(rows, axis=1).reshape(height, -1, bits)
        weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.uint8)
        return np.asarray((every[:, :width] * weights).sum(axis=2, dtype=np.uint8))
    if bits == 24:
        three = rows[:, :needed].reshape(height, width, 3).astype(np.uint32)
        return np.asarray(three[..., 0] | three[..., 1] << 8 | three[..., 2] << 16)
    kind: str = {8: "u1", 16: "<u2", 32: "<u4"}[bits]
    return rows[:, :needed].copy().view(kind)


def _by_palette(values: AnyArray, header: Bitmap) -> Pixels:
    palette = np.zeros((256, 3), np.uint8)  # a number beyond the palette is black
    palette[: len(header.palette)] = header.palette
    return palette[values]


def _by_masks(values: AnyArray, header: Bitmap) -> Pixels:
    channels = [_channel(values, mask) for mask in header.masks]
    # Many programs leave the fourth byte zero: that is no picture of nothing.
    if header.masks[3] and channels[3].any():
        return np.dstack(channels)
    return np.dstack(channels[:3])


def _channel(values: AnyArray, mask: int) -> Pixels:
    """The bits under a mask as 0 to 255; of more than eight the highest."""
    if not mask:
        return np.zeros(values.shape, np.uint8)
    low = (mask & -mask).bit_length() - 1
    count = mask.bit_length() - low
    if count > 8:
        low, count = low + count - 8, 8
    numbers = (values & mask) >> low
    scale = np.rint(np.arange(1 << count) * (255 / ((1 << count) - 1))).astype(np.uint8)
    return np.asarray(scale[np.minimum(numbers, len(scale) - 1)], np.uint8)


def _masked(data: bytes, header: Bitmap, pixels: Pixels) -> Pixels:
    """An icon's pixels with the mask that follows them, of which 1 is transparent."""
    at = header.pixels + (header.width * header.bits + 31) // 32 * 4 * header.height
    try:
        hidden = _values(data, replace(header, pixels=at), at, 1)
    except BadImage:  # some programs leave it out
        return pixels
    if not header.upside_down:
        hidden = hidden[::-1]
    return np.dstack([pixels, np.where(hidden, np.uint8(0), np.uint8(255))])


def _run_lengths(data: bytes, header: Bitmap) -> AnyArray:
    """Numbers of the pixels, (height, width); of those that are left out, 0."""
    width, height = header.width, header.height
    wide = header.compression == _RLE24
    values = np.zeros((height, width), np.uint32 if wide else np.uint8)
    at, x, y = header.pixels, 0, 0
    while at + 1 < len(data):
        count, code = data[at], data[at + 1]
        at += 2
        if count == 0 and code == 0:
            x, y = 0, y + 1
        elif count == 0 and code == 1:
            return values
        elif count == 0 and code == 2:
            x, y = x + data[at], y + data[at + 1] if at + 1 < len(data) else height
            at += 2
        else:
            run, at = _run(data, at, count, code, header.compression)
            if y >= height:
                break
            run = run[: max(0, width - x)]
            values[y, x : x + len(run)] = run
            x += len(run)
    if y >= height or (y == height - 1 and x >= width):
        return values
    raise BadImage(f"truncated: the BMP does not end within its {len(data)} bytes")


def _run(data: bytes, at: int, count: int, code: int, compression: int) -> tuple[Integers, int]:
    """The numbers of one run: of one colour where it has a count, else of `code` colours."""
    if compression == _RLE24:
        size = 2 if count else (3 * code + 1) // 2 * 2
        raw = data[at : at + size]
        if count:
            raw = bytes([code]) + raw
        three = np.frombuffer(raw[: len(raw) // 3 * 3], np.uint8).reshape(-1, 3).astype(np.int64)
        numbers = three[:, 0] | three[:, 1] << 8 | three[:, 2] << 16
        return (np.repeat(numbers[:1], count) if count else numbers[:code]), at + size
    half = compression == _RLE4
    if count:
        pair = [code >> 4, code & 15] if half else [code, code]
        return np.resize(np.array(pair, np.int64), count), at
    size = (code + 1) // 2 if half else code
    raw_bytes = np.frombuffer(data[at : at + size], np.uint8).astype(np.int64)
    if half:
        raw_bytes = np.stack([raw_bytes >> 4, raw_bytes & 15], axis=1).reshape(-1)[:code]
    return raw_bytes, at + (size + 1) // 2 * 2


def start_in_icon(data: bytes) -> int:
    """Where the largest picture of an icon or cursor begins; of several the deepest.

    Raises BadImage where there is none.
    """
    _, kind, count = struct.unpack_from("<HHH", data)
    best, start = (-1, -1), 0
    for number in range(count):
        entry = struct.unpack_from("<BBBBHHII", data, 6 + 16 * number)
        area = (entry[0] or 256) * (entry[1] or 256)
        depth = entry[5] if kind == 1 else 0  # in a cursor it is where it points
        if (area, depth) > best:
            best, start = (area, depth), entry[7]
    if not 6 < start < len(data):
        raise BadImage(f"truncated: the icon does not end within its {len(data)} bytes")
    return start
