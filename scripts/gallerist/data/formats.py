"""Which format a file has, by its first bytes; and what it is where it is no picture."""

import re
import struct

from gallerist.io.errors import UserError

HEAD = 4096
"""Bytes that are enough for `format_of`."""

FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WebP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ico": "ICO",
    ".cur": "CUR",
    ".avif": "AVIF",
    ".heic": "HEIC",
    ".heif": "HEIC",
}
"""What the end of a name (in lower case) promises."""

_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "BMP": (b"BM",),
}

_CONVERT = "convert it to PNG or JPEG"

_NOT_READ = (
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", f"JPEG XL; {_CONVERT}"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", f"JPEG 2000; {_CONVERT}"),
    (rb"II\xbc[\0\1]", f"JPEG XR; {_CONVERT}"),
    (rb"8BP[SB]\0[\1\2]", f"a Photoshop document; {_CONVERT}"),
    (rb"P[1-7F-f][\s#]", f"a PNM picture; {_CONVERT}"),
    (rb"gimp xcf", f"a GIMP document; {_CONVERT}"),
    (rb"qoif", f"a QOI picture; {_CONVERT}"),
    (rb"DDS \x7c\0\0\0", f"a DDS texture; {_CONVERT}"),
    (rb"icns", f"an icon of macOS; {_CONVERT}"),
    (rb"v/1\x01", f"OpenEXR; {_CONVERT}"),
    (rb"#\?(RADIANCE|RGBE)", f"a Radiance picture; {_CONVERT}"),
    (rb"SIMPLE  =", f"FITS; {_CONVERT}"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", f"PostScript; {_CONVERT}"),
    (rb"FUJIFILMCCD-RAW|IIRO|IIRS|MMOR|IIU\0|\0MRM", f"a camera's raw file; {_CONVERT}"),
    (rb"....ftypcrx ", f"a camera's raw file; {_CONVERT}"),
)
"""Pictures of other formats."""

_NOT_IMAGES = (
    (rb"version https://git-lfs", "a Git LFS pointer (run 'git lfs pull')"),
    (rb"%PDF", "a PDF document"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"\x1f\x8b", "compressed by gzip"),
    (rb"....ftyp|\x1a\x45\xdf\xa3|RIFF....AVI |....(moov|mdat)", "a video"),
    (rb"RIFF....WAVE|ID3|OggS|fLaC", "a sound"),
    (rb"\0+\Z", "nothing but zero bytes"),
)

_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


class BadImage(UserError):
    """A file that cannot be used as a picture. The message is the reason only, without the path."""


def format_of(data: bytes) -> str:
    """One of the formats in FORMAT_OF_SUFFIX, by the first HEAD bytes. Else BadImage."""
    if not data:
        raise BadImage("empty file")
    for name, signatures in _SIGNATURES.items():
        if data.startswith(signatures):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:4] in (b"\0\0\1\0", b"\0\0\2\0") and data[4:6] not in (b"", b"\0\0"):
        return "ICO" if data[2] == 1 else "CUR"
    brands = _brands(data)
    for name, known in (("AVIF", _AVIF), ("HEIC", _HEIC)):
        if not known.isdisjoint(brands):
            return name
    if len(data) > 1 and any(s.startswith(data) for known in _SIGNATURES.values() for s in known):
        raise BadImage(f"truncated: only {len(data)} bytes")
    raise BadImage(_what_it_is(data[:HEAD]))


def _brands(data: bytes) -> set[bytes]:
    """The brands of an ISO base media file (ISO/IEC 14496-12, 4.3)."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(struct.unpack_from(">I", data)[0], len(data))
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}


def _what_it_is(head: bytes) -> str:
    for pattern, what in _NOT_READ:
        if re.match(pattern, head, re.DOTALL):
            return f"not read: {what}"
    for pattern, what in _NOT_IMAGES:
        if re.match(pattern, head, re.DOTALL):
            return f"not an image: {what}"
    if (markup := _markup(head)) or _is_text(head):
        return f"not an image: {markup or 'text'}"
    return "not an image"


def _markup(head: bytes) -> str:
    """What stands behind a byte order mark, declarations and comments: a drawing or a page."""
    rest = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    page = re.match(rb"<!doctype\s+html", rest, re.IGNORECASE)
    while not page and (skipped := re.match(rb"<(\?|!--|!)", rest)):
        end = {b"?": b"?>", b"!--": b"-->"}.get(skipped[1], b">")
        at = rest.find(end)
        if at < 0:
            break
        rest = rest[at + len(end) :].lstrip(b" \t\r\n]>")
    if re.match(rb"<([a-z]+:)?svg\b", rest):
        return "an SVG drawing (export it as PNG)"
    if page or re.match(rb"<(html|head|body|script|title)\b", rest, re.IGNORECASE):
        return "an HTML page (a download that failed?)"
    return "an XML file" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml") else ""


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and len(head) % 2 == 0:
        return True  # UTF-16
    try:
        # The last character of a longer file may be cut.
        text = head.decode("utf-8", "strict" if len(head) < HEAD else "ignore")
    except UnicodeDecodeError:
        return False
    return all(each.isprintable() or each in "\t\n\r\f\ufeff" for each in text)
