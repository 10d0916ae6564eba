"""data.room: memory is taken before a picture is decoded, by all that read side by side."""

import io
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from checkout import SCRIPTS
from peak_memory import needs_linux, peak_megabytes
from PIL import Image

from gallerist.data import decoding, room
from gallerist.data.decoding import BadImage, decode_image
from gallerist.data.room import FREE, machine_memory, room_for

BIG = 8 * FREE
"""Bytes of which only two fit into the room of the tests."""


@pytest.fixture(autouse=True)
def small_room(tmp_path, monkeypatch):
    """A room of its own, with place for two big pictures."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    room._folder.cache_clear()
    monkeypatch.setattr(room, "machine_memory", lambda: 2 * BIG * room.SHARE)
    folder = room._folder
    yield
    folder.cache_clear()


def most_at_once(needed, threads, expected):
    """How many of so many threads hold room for `needed` bytes at the same time.

    They hold it until as many as expected do, so that it doesn't matter how quick they are.
    """
    changed, now, most = threading.Condition(), 0, 0

    def hold():
        nonlocal now, most
        with room_for(needed, "a picture"):
            with changed:
                now += 1
                most = max(most, now)
                changed.notify_all()
                changed.wait_for(lambda: most >= expected, 20)
            time.sleep(0.02)  # for one that should not enter
            with changed:
                now -= 1

    workers = [threading.Thread(target=hold) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert now == 0
    return most


def test_as_many_pictures_are_decoded_at_once_as_there_is_room_for():
    for needed, threads, expected in ((BIG, 6, 2), (2 * BIG, 3, 1), (BIG // 2, 8, 4)):
        assert most_at_once(needed, threads, expected) == expected


def test_small_pictures_never_wait():
    with room_for(2 * BIG, "a picture"), room_for(FREE, "another"):
        pass


def test_one_that_no_machine_of_this_size_can_take_is_refused_with_a_way_out():
    refused = pytest.raises(BadImage, match=r"a GIF of 9x9 .* takes up to .*: save it smaller, or")
    with refused, room_for(2 * BIG + 1, "a GIF of 9x9 pixels"):
        pass


PROGRAM = """
    import sys, time
    from gallerist.data import room
    room.machine_memory = lambda: int(sys.argv[1]) * room.SHARE
    with room.room_for(int(sys.argv[1]), "a picture"):
        print("in", flush=True)
        time.sleep(60)
"""


def test_processes_share_the_room_and_a_killed_one_gives_it_back():
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(2 * BIG)]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"in\n"
        entered = threading.Event()

        def wait():
            with room_for(BIG, "a picture"):
                entered.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not entered.wait(0.2)
        other.kill()
        assert entered.wait(10)
        waiting.join(10)


def test_without_a_folder_for_locks_one_is_decoded_at_a_time(monkeypatch):
    monkeypatch.setattr(room, "_folder", lambda: None)
    assert most_at_once(BIG, 4, 1) == 1


def test_the_memory_of_this_process_is_no_more_than_the_machine_has():
    limit = machine_memory.__wrapped__()
    assert 0 < limit <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_picture_waits_for_room_before_it_is_decoded(monkeypatch):
    asked = []
    monkeypatch.setattr(decoding, "room_for", lambda needed, what: asked.append(needed) or held())
    file = io.BytesIO()
    Image.new("RGB", (3000, 4000)).save(file, "WEBP")
    decode_image(file.getvalue())
    assert asked[0] >= 3000 * 4000 * 4


class held:  # noqa: N801
    def __enter__(self): ...
    def __exit__(self, *error): ...


KINDS = {
    "JPEG": {"progressive": True, "subsampling": 0},
    "PNG": {"compress_level": 1},
    "WEBP": {"method": 0},
    "GIF": {},
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
    "AVIF": {"speed": 10},
}

DECODES = """
    import sys
    from gallerist.data.decoding import decode_image
    data = open(sys.argv[1], "rb").read()
    if sys.argv[2] == "decode":
        decode_image(data)
"""


@pytest.fixture(scope="module")
def without_decoding():
    """MB of a process that has everything loaded."""
    return peak_megabytes(DECODES, os.devnull, "nothing")


@needs_linux
@pytest.mark.parametrize("kind", KINDS)
def test_decoding_takes_no_more_than_the_room_that_is_held_for_it(
    tmp_path, kind, monkeypatch, without_decoding
):
    """With all that costs memory: alpha, turned."""
    side = 1600
    y, x = np.mgrid[:side, :side]
    pixels = np.stack([x % 256, y % 256, (x + y) % 256, x % 256], -1).astype(np.uint8)
    mode = "RGBA" if kind in ("PNG", "WEBP", "BMP", "TIFF") else "RGB"
    image = Image.fromarray(pixels).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}
    image.save(tmp_path / "picture", kind, **KINDS[kind], **more)
    data = (tmp_path / "picture").read_bytes()
    asked = []
    monkeypatch.setattr(decoding, "room_for", lambda needed, what: asked.append(needed) or held())
    decode_image(data)
    growth = peak_megabytes(DECODES, tmp_path / "picture", "decode") - without_decoding
    assert growth <= asked[0] / 2**20
