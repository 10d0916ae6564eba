"""A reader for each format: how large a picture is, what decoding takes, and then its image."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    WebPImagePlugin,
)

from gallerist.data import bitmaps, containers, tiff
from gallerist.data.colours import Source
from gallerist.data.formats import BadImage
from gallerist.data.jpeg import read_jpeg
from gallerist.data.orientation import orientation_of, upright
from gallerist.data.png import decode_png, read_png

_JPEG_BYTES, _PROGRESSIVE_BYTES = 16, 8
_PNG_BYTES, _GIF_BYTES, _WEBP_BYTES, _BMP_BYTES, _ISO_BYTES = 32, 28, 36, 32, 48
"""A pixel, at most, while a picture of a format is decoded, turned and converted: measured peaks of
the costliest kinds, and a third more. Progressive JPEGs are held twice.
"""


@dataclass(frozen=True)
class Coded:
    """A picture before it is decoded.

    width, height: pixels. each: bytes a pixel that decoding takes at most, besides the file.
    decode: gives what it shows. colours: what its numbers mean. exif: a block that may turn it.
    corner: where in the picture lies what is decoded, left and top; None where that is all of it.
    """

    width: int
    height: int
    each: int
    decode: Callable[[], Image.Image]
    colours: Source = None
    exif: bytes = b""
    corner: tuple[int, int] | None = None


def _jpeg(data: bytes) -> Coded:
    found = read_jpeg(data)

    def decode() -> Image.Image:
        image = JpegImagePlugin.JpegImageFile(BytesIO(found.data), "")
        image.load()
        return image

    each = _JPEG_BYTES + _PROGRESSIVE_BYTES * found.progressive
    return Coded(found.width, found.height, each, decode, found.profile or None, found.exif)


def _png(data: bytes) -> Coded:
    found = read_png(data)
    exif = b"Exif\0\0" + found.exif if found.exif else b""
    return Coded(
        found.width, found.height, _PNG_BYTES, lambda: decode_png(found), found.colours, exif,
        (found.left, found.top),
    )  # fmt: skip


def _gif(data: bytes) -> Coded:
    image = GifImagePlugin.GifImageFile(BytesIO(data), "")

    def decode() -> Image.Image:
        extents = image.tile[0].extents if image.tile else (0, 0, *image.size)
        image.load()
        assert extents is not None
        if tuple(extents) == (0, 0, *image.size):
            return image
        frame = Image.new("1", image.size)
        frame.paste(1, extents)
        canvas = Image.new("RGBA", image.size)
        canvas.paste(image.convert("RGBA"), mask=frame)
        return canvas

    return Coded(*image.size, _GIF_BYTES, decode)


def _webp(data: bytes) -> Coded:
    found = containers.read_webp(data)

    def decode() -> Image.Image:
        image = WebPImagePlugin.WebPImageFile(BytesIO(found.data), "")
        image.load()
        return image

    corner = (found.left, found.top)
    profile = found.profile or None
    return Coded(found.width, found.height, _WEBP_BYTES, decode, profile, found.exif, corner)


def _bitmap(data: bytes, start: int = 14, *, in_icon: bool = False) -> Coded:
    header = bitmaps.read_header(data, start, in_icon=in_icon)
    if header.holds:
        inner = READERS[header.holds](data[header.pixels :])
        if (inner.width, inner.height) != (header.width, header.height):
            raise BadImage(f"damaged BMP: the {header.holds} in it is not as large as it says")
        return inner
    return Coded(
        header.width, header.height, _BMP_BYTES,
        lambda: Image.fromarray(bitmaps.decode_bitmap(data, header, in_icon=in_icon)),
        header.colours,
    )  # fmt: skip


def _icon(data: bytes) -> Coded:
    picture = data[bitmaps.start_in_icon(data) :]
    if picture.startswith(b"\x89PNG"):
        return _png(picture)
    return _bitmap(picture, 0, in_icon=True)


def _tiff(data: bytes) -> Coded:
    found = tiff.read_tiff(data)
    return Coded(
        found.width,
        found.height,
        found.bytes_a_pixel,
        lambda: tiff.decode_tiff(data, found),
        found.profile,
    )


def _avif(data: bytes) -> Coded:
    found = containers.read_iso(data)

    def decode() -> Image.Image:
        if not AvifImagePlugin.SUPPORTED:
            raise BadImage("AVIF, which Pillow does not read on this machine: convert it to PNG")
        image = AvifImagePlugin.AvifImageFile(BytesIO(data), "")
        return _loaded(image, found)

    return Coded(found.width, found.height, _ISO_BYTES, decode, found.colours)


def _heic(data: bytes) -> Coded:
    found = containers.read_iso(data)

    def decode() -> Image.Image:
        import pi_heif  # here: few pictures are HEIC

        opened = pi_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=True)
        return _loaded(opened.to_pillow(), found)

    return Coded(found.width, found.height, _ISO_BYTES, decode, found.colours)


def _loaded(image: Image.Image, said: containers.Iso) -> Image.Image:
    """The image of a container, upright, if it is no larger than the container says."""
    if image.width * image.height > said.width * said.height:
        raise BadImage(
            f"damaged: a picture of {image.width}x{image.height} pixels in a file that "
            f"speaks of {said.width}x{said.height}"
        )
    image.load()
    return upright(image, orientation_of(image.info.get("exif") or b""))


READERS: dict[str, Callable[[bytes], Coded]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "TIFF": _tiff,
    "BMP": _bitmap,
    "WebP": _webp,
    "ICO": _icon,
    "CUR": _icon,
    "AVIF": _avif,
    "HEIC": _heic,
}
