"""Room in memory for pictures that are decoded: taken before it starts, shared by all that read.

A file of two hundred bytes may ask for gigabytes. Each reader therefore says how much it will take
at most, and waits until as much is free; what no machine of this size should give is refused. All
readers of one user share the room, in however many threads and processes: it is divided into slots,
which are locks of the operating system, so that a killed process gives its slots back.
"""

import errno
import fcntl
import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from gallerist.data.formats import BadImage

FREE = 32 << 20
"""Bytes that a reader may take without asking: most pictures need less."""

SHARE = 2
"""One part of so many of the machine's memory is for pictures."""

_SLOTS = 256
_WAIT = 0.005


@contextmanager
def room_for(needed: int, what: str) -> Iterator[None]:
    """Hold room for `needed` bytes while the block runs. what: is to be read, for the message.

    Raises BadImage where it is more than there is for pictures on this machine.
    """
    if needed <= FREE:
        yield
        return
    most = machine_memory() // SHARE
    if needed > most:
        raise BadImage(
            f"{what} takes up to {needed / 1e9:.1f} GB to decode, and {most / 1e9:.1f} GB of this "
            "machine's memory are for pictures: save it smaller, or read it on a larger machine"
        )
    slots = -(-needed * _SLOTS // most)
    with ExitStack() as held:
        _take(min(slots, _SLOTS), held)
        yield


@cache
def machine_memory() -> int:
    """Bytes of memory that this process may use, by its machine, container and limits."""
    import psutil

    found = [int(psutil.virtual_memory().total), resource.getrlimit(resource.RLIMIT_AS)[0]]
    with suppress(OSError):
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        for line in own:
            _, controllers, name = line.split(":", 2)
            version2 = not controllers
            if not version2 and "memory" not in controllers.split(","):
                continue
            root = Path("/sys/fs/cgroup" if version2 else "/sys/fs/cgroup/memory")
            file = "memory.max" if version2 else "memory.limit_in_bytes"
            folder = root / name.lstrip("/")
            for each in (folder, *folder.parents):
                if each.is_relative_to(root):
                    with suppress(OSError, ValueError):
                        found.append(int((each / file).read_text()))
    return min(value for value in found if value > 0)


_ONE = threading.Lock()
"""Held in place of slots where no folder for them can be had."""


def _take(slots: int, held: ExitStack) -> None:
    """Wait until so many slots are free, and hold them until `held` ends.

    Only who stands at the gate takes slots: nobody waits with some in his hands for those of
    another, and who needs many is not overtaken for ever.
    """
    folder = _folder()
    if folder is None:
        held.enter_context(_ONE)
        return
    with (folder / "gate").open("wb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        first = threading.get_native_id()
        while slots:
            for number in range(_SLOTS):
                if slots and (slot := _lock(folder / str((first + number) % _SLOTS))) is not None:
                    held.callback(os.close, slot)
                    slots -= 1
            if slots:
                time.sleep(_WAIT)


def _lock(path: Path) -> int | None:
    """An open file that this thread alone has locked, or None where another one has."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    return file


@cache
def _folder() -> Path | None:
    """A folder for locks that all processes of this user on this machine have, or None."""
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        folder = Path(parent or "/nonexistent") / f"gallerist-room-{os.getuid()}"
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK):
                (folder / "gate").touch()
                return folder
    return None
