"""What comes from outside, changed at random: a result or the foreseen error, in little memory.

Some inputs of each in every run, 2,000 with the slow tests; the same ones each time.
"""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import struct
import tarfile
import tempfile
import warnings
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from coded_pictures import (
    GREY,
    RGB,
    animated_webp,
    bitmap,
    chunk,
    encoded,
    gif,
    info,
    png,
    profile,
    segment,
    tags,
    tiff,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from misbehaving_server import MisbehavingServer
from peak_memory import growth_below, needs_linux

from gallerist.data.archive import unpack
from gallerist.data.decoding import BadImage, decode_image
from gallerist.data.download import fetch
from gallerist.io.errors import UserError

pytestmark = [needs_linux, pytest.mark.filterwarnings("ignore")]

FEW, MANY = 50, 2000

PICTURE_MEGABYTES = 160
"""For a picture of a million pixels: the costliest kind, fractions of 64 bits in four channels."""

ARCHIVE_MEGABYTES = 300
"""Of which a compression may take 256."""

ANSWER_MEGABYTES = 32


often = pytest.mark.parametrize(
    "count", [FEW, pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])]
)


def try_with(count, strategy, check):
    """Give a check so many inputs, the same ones each time."""
    given_to_it = 0

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def once(data):
        nonlocal given_to_it
        given_to_it += 1
        check(data)

    once()
    assert given_to_it == count


@st.composite
def changed(draw, seeds):
    """One of some byte strings: bytes changed, numbers made extreme, parts moved, cut."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 5))):
        if not data:
            break
        # Most of what decides stands near the beginning.
        at = draw(st.integers(0, min(len(data) - 1, draw(st.sampled_from([40, 200, 10**9])))))
        match draw(st.sampled_from(["byte", "number", "moved", "removed"])):
            case "byte":
                data[at] = draw(st.integers(0, 255))
            case "number":
                value = draw(st.sampled_from([0, 1, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1]))
                form = draw(st.sampled_from(["<I", ">I", "<H", ">H"]))
                size = struct.calcsize(form)
                data[at : at + size] = struct.pack(form, value % 256**size)
            case "moved":
                start = draw(st.integers(0, len(data) - 1))
                data[at:at] = data[start : start + draw(st.integers(0, 100))]
            case "removed":
                del data[at : at + draw(st.integers(1, 40))]
    end = draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    return bytes(data[:end])


def icc(content):
    return segment(0xE2, b"ICC_PROFILE\0\1\1" + content)


JPEG = encoded(RGB, "JPEG")
PICTURES = [
    JPEG,
    encoded(RGB, "JPEG", progressive=True),
    JPEG[:2] + icc(profile(1.8)) + JPEG[2:],
    png(),
    png(before=chunk(b"gAMA", struct.pack(">I", 100_000))),
    png(16, 2, [row.tobytes() for row in RGB.astype(">u2")], chunk(b"tRNS", bytes(6))),
    encoded(GREY, "PNG", icc_profile=profile(2.2, space=b"GRAY")),
    gif((80, 60), (20, 10)),
    encoded(RGB, "WEBP"),
    animated_webp((80, 60), (5, 5)),
    bitmap(info(32, size=124, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF << 24)), bytes(6144)),
    bitmap(info(8, 1, width=6, height=2), b"\3\x0a\0\3\1\2\3\0\0\0\4\x14\0\1", bytes(1024)),
    encoded(RGB, "ICO", sizes=[(16, 16)]),
    encoded(RGB, "TIFF", compression="tiff_lzw"),
    tiff(
        "II",
        tags(16, 2, 3, planar=2),
        [RGB[..., each].astype("<u2").tobytes() for each in range(3)],
    ),
    tiff("MM", tags(64, 2, 3, t339=(3, [3] * 3)), [(RGB / 255).astype(">f8").tobytes()]),
    tiff("II", tags(8, 3, 1, t320=(3, [*range(768)])), [GREY.tobytes()], big=True),
    encoded(RGB, "AVIF", quality=30),
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + encoded(RGB, "AVIF", quality=30)[32:],
    b'<?xml version="1.0"?><!-- a --><svg/>',
]


def read_or_refuse(data):
    with warnings.catch_warnings(), suppress(BadImage):
        warnings.simplefilter("ignore")
        pixels = decode_image(data, max_pixels=10**6)
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
        assert pixels.shape[0] * pixels.shape[1] <= 10**6


@often
def test_a_picture_is_read_or_refused(count):
    for seed in PICTURES[:-3]:
        assert decode_image(seed).size
    with growth_below(PICTURE_MEGABYTES):
        try_with(count, changed(PICTURES), read_or_refuse)


def plain_tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("a/1.jpg", "b/" + "long" * 40, "c/ü"):
            member = tarfile.TarInfo(name)
            member.size = 700
            tar.addfile(member, io.BytesIO(bytes(700)))
        link = tarfile.TarInfo("a/link")
        link.type, link.linkname = tarfile.SYMTYPE, "1.jpg"
        tar.addfile(link)
    return file.getvalue()


def zipped(method):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in ("a/1.jpg", "b/2.jpg", "c/"):
            archive.writestr(name, b"" if name.endswith("/") else bytes(700))
    return file.getvalue()


TAR = plain_tar()
ARCHIVES = [
    TAR,
    *(packed(TAR) for packed in (gzip.compress, bz2.compress, lzma.compress)),
    *(zipped(method) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)),
    zipped(zipfile.ZIP_BZIP2),
]


def unpack_or_refuse(data):
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "x"), Path(folder, "out")
        source.write_bytes(data)
        with suppress(UserError):
            count = unpack(source, target, max_bytes=10**5, max_files=20)
            found = [each for each in target.rglob("*") if not each.is_dir() or each.is_symlink()]
            assert len(found) == count <= 20
            assert sum(each.lstat().st_size for each in found) <= 10**5
        assert {each.name for each in Path(folder).iterdir()} <= {"x", "out"}


@often
def test_an_archive_is_unpacked_or_refused(count, tmp_path):
    for number, seed in enumerate(ARCHIVES):
        (tmp_path / "x").write_bytes(seed)
        assert unpack(tmp_path / "x", tmp_path / str(number), max_bytes=10**5) >= 2
    with growth_below(ARCHIVE_MEGABYTES):
        inputs = st.one_of(changed(ARCHIVES), changed([TAR]).map(gzip.compress))
        try_with(count, inputs, unpack_or_refuse)


BODY = b"a picture, or what should be one" * 40
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
ANSWERS = [
    OK + b"Content-Length: 1280\r\n\r\n" + BODY,
    OK + b"\r\n" + BODY,
    OK + b"Transfer-Encoding: chunked\r\n\r\n500\r\n" + BODY + b"\r\n0\r\n\r\n",
    OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(BODY),
    OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(10**7)),
    b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK + b"\r\n" + BODY,
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 Not now\r\nRetry-After: 0\r\nContent-Length: 5\r\n\r\nlater",
]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Answering("/animals.tar")
    yield server
    server.stop()


class Answering(MisbehavingServer):
    """Answers each request with `answer`, and hangs up."""

    def get(self, handler):
        handler.close_connection = True
        with suppress(OSError):
            handler.wfile.write(self.answer)


def fetch_or_refuse(server, folder, data):
    server.answer, target = data, folder / "animals.tar"
    with suppress(UserError):
        wanted = hashlib.sha256(BODY).hexdigest()
        fetch(server.url, target, sha256=wanted, max_bytes=10**5, attempts=1, timeout=2.0)
        assert target.read_bytes() == BODY
        target.unlink()
    assert not [each for each in os.listdir(folder) if not each.endswith(".lock")]  # noqa: PTH208


@often
def test_an_answer_is_the_file_or_refused(count, server, tmp_path):
    for answer in ANSWERS[:4]:
        fetch_or_refuse(server, tmp_path, answer)
    with growth_below(ANSWER_MEGABYTES):
        try_with(count, changed(ANSWERS), partial(fetch_or_refuse, server, tmp_path))
