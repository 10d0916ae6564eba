"""Archives unpacked into a folder that nothing leaves, by its name, by a link or by its size."""

import logging
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from gallerist.data.archive_formats import MEMBERS, Member, members, refusal
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, temporary_folder

logger = logging.getLogger("gallerist")


def unpack(
    archive: PathLike, folder: PathLike, *, max_bytes: int, max_files: int = 5_000_000
) -> int:
    """Unpack a tar (plain, gzip, bzip2, xz) or a zip; return the number of files, links included.

    The format is known by the content, not by the name. The folder appears when all is unpacked;
    one that is there is replaced then, and left as it is on failure.
    max_bytes: of all files together, counted as they are written, whatever the archive declares.
    max_files: files at most, and folders at most, also those that stand in paths alone.

    What macOS adds (`__MACOSX/`, `._*`) is left out. Owners, permissions and times are not taken
    over: files older than the archive they came from confuse whatever compares times. Links within
    the folder are kept as links. Of two files of one name the later counts, as for `tar -r`.

    Raises UserError, naming the member, for absolute paths, paths and links out of the folder,
    links to nothing, devices and pipes, encrypted members, more than max_bytes or max_files, a file
    in the place of a folder or link, damage, unknown formats, and archives without a file.
    """
    source, target = Path(archive), Path(folder).resolve()
    if not source.is_file():
        raise UserError(f"{source}: there is no such file.")
    if target.exists() and not target.is_dir():
        raise UserError(f"{folder} is a file. Remove it, or unpack {source} elsewhere.")
    if source.resolve().is_relative_to(target):
        raise UserError(f"{source} lies in {folder}, which unpacking replaces. Move it first.")
    try:
        with temporary_folder(target) as staging:
            unpacking = _Unpacking(source, staging, max_bytes, max_files)
            for member in members(source, max_bytes, max_files):
                unpacking.take(member)
            return unpacking.finish()
    except OSError as error:
        raise UserError(f"{source} could not be unpacked into {folder}: {error}") from error


class _Unpacking:
    """The folder being filled, and all that is checked before something is put into it.

    Links are made when all files are there: no file can then be written through a link.
    """

    def __init__(self, archive: Path, root: Path, max_bytes: int, max_files: int) -> None:
        self.archive, self.root = archive, root
        self.max_bytes, self.max_files = max_bytes, max_files
        self.bytes = self.replaced = self.left_out = 0
        self.counts = {"files": 0, "folders": 0, "members": 0}
        self.folders = {PurePosixPath()}
        self.links: list[tuple[Member, Path]] = []

    def take(self, member: Member) -> None:
        """Write a file or folder; keep a link for later."""
        self._count(member, "members", MEMBERS * self.max_files)
        if _is_of_macos(member.name):
            self._check_size(member, member.size)
            self.bytes += member.size  # it has to be unpacked to be passed over
            self.left_out += 1
            return
        if "\0" in member.name + member.target:
            raise self._refusal(member, "has a NUL in its name.")
        if _is_absolute(member.name):
            raise self._refusal(member, "has an absolute path; those in an archive are relative.")
        inside = _normal(member.name)
        if inside is None:
            raise self._refusal(member, "leads out of the folder.")
        path = self.root / inside
        if path == self.root and member.kind != "folder":
            raise self._refusal(member, "is a file without a name.")
        self._make_folder(member, inside if member.kind == "folder" else inside.parent)
        if member.kind == "file":
            self._write(member, path)
        elif member.kind != "folder":
            self._count(member, "files", self.max_files)
            self.links.append((member, path))

    def finish(self) -> int:
        """Make the links; return the number of files and links."""
        self._make_hard_links()
        self._make_symbolic_links()
        if not self.counts["files"]:
            raise UserError(f"{self.archive} holds no file.")
        if self.replaced:
            logger.warning("%s: %d files replaced by later ones", self.archive, self.replaced)
        if self.left_out:
            logger.info("%s: %d additions of macOS left out", self.archive, self.left_out)
        return self.counts["files"]

    def _make_folder(self, member: Member, folder: PurePosixPath) -> None:
        """Make a folder and those above it, each of which counts, whether it is a member or not."""
        missing = []
        while folder not in self.folders:
            self._count(member, "folders", self.max_files)
            self.folders.add(folder)
            missing.append(folder)
            folder = folder.parent
        with self._writing(member):
            for each in reversed(missing):
                (self.root / each).mkdir(exist_ok=True)

    def _write(self, member: Member, path: Path) -> None:
        self._check_size(member, member.size)
        with self._writing(member):
            if path.is_file():
                self.replaced += 1
            else:
                self._count(member, "files", self.max_files)
            with path.open("wb") as file:
                for piece in member.content:
                    self._check_size(member, len(piece))
                    self.bytes += len(piece)
                    file.write(piece)

    def _make_hard_links(self) -> None:
        for member, path in self.links:
            if member.kind == "hard link":
                inside = None if _is_absolute(member.target) else _normal(member.target)
                if inside is None:
                    raise self._leads_out(member)
                if not (self.root / inside).is_file():
                    what = f"is a link to {member.target!r}, which is no file of the archive."
                    raise self._refusal(member, what)
                with self._writing(member):
                    path.hardlink_to(self.root / inside)

    def _make_symbolic_links(self) -> None:
        made = [(member, path) for member, path in self.links if member.kind == "symbolic link"]
        for member, path in made:
            with self._writing(member):
                path.symlink_to(member.target)
        # Checked when all are there: through one link another may leave the folder.
        for member, path in made:
            try:
                if not path.resolve().is_relative_to(self.root):
                    raise self._leads_out(member)
                path.resolve(strict=True)
            except (OSError, RuntimeError) as error:
                what = f"is a link to {member.target!r}, which is not in the archive."
                raise self._refusal(member, what) from error

    def _count(self, member: Member, what: str, most: int) -> None:
        self.counts[what] += 1
        if self.counts[what] > most:
            raise self._refusal(member, f"is one more than the {most} {what} allowed.")

    def _check_size(self, member: Member, size: int) -> None:
        if self.bytes + size > self.max_bytes:
            raise self._refusal(
                member,
                f"makes it more than the {self.max_bytes} bytes that may be unpacked. "
                "If you trust the archive, allow more.",
            )

    def _leads_out(self, member: Member) -> UserError:
        return self._refusal(member, f"is a link out of the folder, to {member.target!r}.")

    def _refusal(self, member: Member, what: str) -> UserError:
        return refusal(self.archive, member.name, what)

    @contextmanager
    def _writing(self, member: Member) -> Iterator[None]:
        try:
            yield
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise self._refusal(member, "wants the place of another member.") from error
        except OSError as error:
            raise self._refusal(member, f"cannot be written: {error.strerror}.") from error


def _is_of_macos(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and (parts[0] == "__MACOSX" or parts[-1].startswith("._"))


def _is_absolute(path: str) -> bool:
    """Whether a path is absolute for Unix or for Windows."""
    return re.match(r"/|\\\\|[A-Za-z]:[/\\]", path) is not None


def _normal(path: str) -> PurePosixPath | None:
    """A path without `.` and `..`, by its words alone; None if it climbs above its beginning."""
    normal = PurePosixPath(posixpath.normpath(path))
    return None if ".." in normal.parts else normal
