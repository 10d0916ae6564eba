"""What is in a tar or a zip, member by member and in one form. Nothing is written here."""

import bz2
import gzip
import io
import logging
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from _compression import DecompressReader
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

from gallerist.io.errors import UserError
from gallerist.workflow.progress import Progress

logger = logging.getLogger("gallerist")

_CHUNK = 1 << 20
"""Bytes read at once."""
_MOST_MEMORY = 1 << 28
"""Bytes that a compression may keep in memory: four times what the best of xz takes."""


def _open_xz(file: BinaryIO) -> io.BufferedReader:
    """As `lzma.open`, which lets a file name how much memory it wants, up to gigabytes."""
    return io.BufferedReader(
        DecompressReader(
            file,
            lzma.LZMADecompressor,
            trailing_error=lzma.LZMAError,
            format=lzma.FORMAT_XZ,
            memlimit=_MOST_MEMORY,
        )
    )


MEMBERS = 3
"""Members for each file that is allowed: itself, its folder, and what macOS adds to it."""
_LONGEST_HEADER = 1 << 22
"""Bytes of all that tarfile reads and keeps between two members: long names, attributes, lists of
holes. No real member has so many.
"""
_LISTED = 1 << 10
"""Bytes of memory for a member of a zip, all of which are listed before the first is read."""
_LONGEST_LINK = 4096
"""Bytes of a link's target: PATH_MAX of Linux."""
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_COMPRESSIONS: dict[bytes, tuple[str, Callable[[BinaryIO], Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", _open_xz),
}
_OTHERS = {
    b"7z\xbc\xaf\x27\x1c": "It is a 7z archive.",
    b"Rar!": "It is a RAR archive.",
    b"\x28\xb5\x2f\xfd": "It is compressed by Zstandard.",
    b"\x1f\x9d": "It is compressed by compress.",
    b"<": "It looks like a web page, perhaps a login.",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive.

    name: as the archive has it, with `/` between folders: not yet checked.
    size: bytes of a file, as declared: not yet checked.
    target: of a link; relative to the link's folder if symbolic, a member's name if hard.
    content: the bytes of a file, in pieces; to be read before the next member is asked for.
    """

    name: str
    kind: Literal["file", "folder", "symbolic link", "hard link"]
    size: int = 0
    target: str = ""
    content: Iterable[bytes] = ()


def members(path: Path, max_bytes: int, max_files: int) -> Iterator[Member]:
    """Yield what is in an archive, in its order; the format is known by the content.

    max_bytes, max_files: a zip that declares more is refused before its first member. Memory stays
    below _MOST_MEMORY for a tar, and takes _LISTED bytes besides for each member of a zip.
    Raises UserError for unknown formats, damage, devices and encryption.
    """
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if start.startswith(_ZIP):
            yield from _zip_members(file, path, max_bytes, max_files)
        else:
            yield from _tar_members(file, start, path, max_bytes)


def refusal(archive: Path, name: str, what: str) -> UserError:
    """The error about one member. Its name is quoted: it may hold anything."""
    return UserError(f"{archive}: {name!r} {what}")


def _pieces(archive: Path, name: str, opened: Callable[[], IO[bytes] | None]) -> Iterator[bytes]:
    """The bytes of one file. Here only reading fails: what is done with a piece happens outside.

    On bytes that make no sense the standard library raises everything from OSError to struct.error.
    """
    try:
        stream = opened()
        while stream is not None and (piece := stream.read(_CHUNK)):
            yield piece
    except NotImplementedError as error:
        what = f"cannot be read: {error}. Unpack it by hand, and pack it again as a tar."
        raise refusal(archive, name, what) from error
    except Exception as error:
        raise refusal(archive, name, f"is damaged: {error}. Fetch the archive again.") from error


# -- tar --------------------------------------------------------------------------------------


class _Guarded(io.RawIOBase):
    """The bytes of a tar. Remembers the last read, and refuses what only hostile headers ask for.

    header: bytes that may still be read before the next member; None while content is read.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.last = stream, b""
        self.header: int | None = _LONGEST_HEADER

    def read(self, size: int = -1) -> bytes:
        if self.header is not None:
            if not 0 <= size <= self.header:
                raise tarfile.ReadError(f"headers of more than {_LONGEST_HEADER} bytes")
            self.header -= size
        self.last = self.stream.read(size)
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()


def _tar_members(file: BinaryIO, start: bytes, path: Path, max_bytes: int) -> Iterator[Member]:
    progress = Progress(f"bytes of {path.name}", path.stat().st_size)
    compressions = [value for magic, value in _COMPRESSIONS.items() if start.startswith(magic)]
    compression, opener = compressions[0] if compressions else ("", lambda same: same)
    stream = _Guarded(opener(file))
    try:
        tar = tarfile.TarFile(fileobj=stream, encoding="utf-8", errors="surrogateescape")
    except Exception as error:
        raise _no_tar(path, compression, start, error) from error
    while (info := _next_info(tar, stream, path)) is not None:
        yield _tar_member(tar, info, path)
        if step := file.tell() - progress.done:  # of the compressed bytes, whose end is known
            progress.advance(step)
    _check_end(stream, path, max_bytes)


def _no_tar(path: Path, compression: str, start: bytes, error: Exception) -> UserError:
    if compression:
        return UserError(
            f"{path} is compressed by {compression}, but its content is damaged or no tar: {error}."
        )
    begins = f"It begins with {start[:8]!r}." if start else "It is empty."
    what = next((what for magic, what in _OTHERS.items() if start.startswith(magic)), begins)
    return UserError(
        f"{path} is neither a tar (plain, gzip, bzip2 or xz) nor a zip. {what}\n"
        "  Get it in one of these formats, or unpack it by hand, and give the folder."
    )


def _next_info(tar: tarfile.TarFile, stream: _Guarded, path: Path) -> tarfile.TarInfo | None:
    at, stream.header = tar.offset, _LONGEST_HEADER
    try:
        info = tar.next()
        if sum(map(len, tar.pax_headers.values())) > _LONGEST_HEADER:
            raise tarfile.ReadError("attributes of all members without end")
    except Exception as error:
        raise UserError(
            f"{path} is damaged or cut short near byte {at} of the tar: {error}. Fetch it again."
        ) from error
    stream.header = None
    tar.members.clear()  # type: ignore[attr-defined]  # it keeps them all, a kilobyte each
    return info


def _tar_member(tar: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> Member:
    raw = (each.encode("utf-8", "surrogateescape") for each in (info.name, info.linkname))
    name, target = map(_utf8_or_latin1, raw)
    if info.size < 0:  # tarfile would go back, and read the same for ever
        raise refusal(path, name, "is damaged: it has a size below 0.")
    if not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
        kind = "a device or a pipe" if info.isdev() else f"of the unknown kind {info.type!r}"
        raise refusal(path, name, f"is {kind}; only files, folders and links are unpacked.")
    if info.isdir():
        return Member(name, "folder")
    if info.issym():
        return Member(name, "symbolic link", target=target)
    if info.islnk():
        return Member(name, "hard link", target=target)
    content = _pieces(path, name, lambda: tar.extractfile(info))
    return Member(name, "file", info.size, content=content)


def _check_end(stream: _Guarded, path: Path, max_bytes: int) -> None:
    """A tar ends with a block of zeros. tarfile is silent where it is cut off between two members,
    or where a later header is damaged; and a compressed one is verified only at its last byte.
    """
    if stream.last != bytes(tarfile.BLOCKSIZE):
        whole = len(stream.last) == tarfile.BLOCKSIZE
        how = "has a damaged header" if whole else "is cut short: its end mark is missing"
        raise UserError(f"{path} {how}. Fetch it again.")
    after, meaning, allowed = 0, False, max_bytes + _CHUNK  # tar fills its last record with zeros
    try:
        while (piece := stream.read(_CHUNK)) and after <= allowed:
            after += len(piece)
            meaning |= piece.count(0) < len(piece)
    except Exception as error:
        raise UserError(f"{path} is damaged at its end: {error}. Fetch it again.") from error
    if after > allowed:
        raise UserError(f"{path} has more than {allowed} bytes after its end mark.")
    if meaning:
        logger.warning("%s: the bytes after the end mark of the tar are ignored", path)


def _utf8_or_latin1(raw: bytes) -> str:
    """A name that is not UTF-8 is of an old system; Latin-1 is the likeliest, and never fails."""
    return _utf8(raw) or raw.decode("latin-1")


def _utf8(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


# -- zip --------------------------------------------------------------------------------------


class _Listed(io.RawIOBase):
    """The bytes of a zip, of which no list of more than `most` members is read."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self._most = file, most

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if len(data) > 46 * self._most and data.count(b"PK\x01\x02") > self._most:
            raise zipfile.BadZipFile(f"it lists more than {self._most} members")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _dictionary(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Bytes that the LZMA of a member keeps in memory (APPNOTE.TXT, 5.8.8), as it says itself."""
    file.seek(info.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4).ljust(4, b"\0"))  # damage is found later
    file.seek(name + extra + 5, io.SEEK_CUR)
    return int.from_bytes(file.read(4), "little")


def _zip_members(file: BinaryIO, path: Path, max_bytes: int, max_files: int) -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(_Listed(file, MEMBERS * max_files))
    except Exception as error:
        raise UserError(
            f"{path} is a zip that is damaged or cut short: {error}. Fetch it again."
        ) from error
    infos = archive.infolist()
    declared = sum(info.file_size for info in infos)
    if declared > max_bytes:
        raise UserError(
            f"{path} holds {declared} bytes, and {max_bytes} may be unpacked. "
            "If you trust the archive, allow more."
        )
    progress = Progress(f"bytes of {path.name}", declared)
    for info in infos:
        if info.compress_type == zipfile.ZIP_LZMA and _dictionary(file, info) > _MOST_MEMORY:
            what = f"wants more than {_MOST_MEMORY} bytes of memory. Unpack it by hand."
            raise refusal(path, _zip_name(info), what)
        yield _zip_member(archive, info, path)
        if info.file_size:
            progress.advance(info.file_size)


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Member:
    name, mode = _zip_name(info), info.external_attr >> 16
    if info.flag_bits & 0x1:
        raise refusal(path, name, "is encrypted. Unpack it by hand, and give the folder.")
    if name.endswith("/") or stat.S_ISDIR(mode):
        return Member(name, "folder")
    content = _pieces(path, name, lambda: archive.open(info))
    if stat.S_ISLNK(mode):
        if info.file_size > _LONGEST_LINK:
            raise refusal(path, name, f"is a link with a target of {info.file_size} bytes.")
        return Member(name, "symbolic link", target=_utf8_or_latin1(b"".join(content)))
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise refusal(
            path, name, "is a device or a pipe; only files, folders and links are unpacked."
        )
    return Member(name, "file", info.file_size, content=content)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name in Unicode. Unless flagged as UTF-8 a zip should have it in code page 437
    (APPNOTE.TXT, appendix D), but many programs write UTF-8 all the same.
    """
    name = info.orig_filename
    if not info.flag_bits & 0x800:
        raw = name.encode("cp437")  # as zipfile has decoded it
        name = _unicode_path(info.extra, raw) or _utf8(raw) or name
    # Old programs of Windows put backslashes between folders, which APPNOTE.TXT, 4.4.17, forbids.
    return name if info.create_system else name.replace("\\", "/")


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in Info-ZIP's Unicode Path field, if it belongs to `raw` (APPNOTE.TXT, 4.6.9)."""
    while len(extra) >= 4:
        field, length = struct.unpack("<HH", extra[:4])
        data, extra = extra[4 : 4 + length], extra[4 + length :]
        if (
            field == 0x7075
            and data[:1] == b"\1"
            and data[1:5] == struct.pack("<I", zlib.crc32(raw))
        ):
            return _utf8(data[5:])
    return None
