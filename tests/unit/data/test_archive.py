"""data.archive: what other programs pack comes out right, and what is hostile stays out."""

import bz2
import gzip
import io
import logging
import lzma
import os
import random
import re
import shutil
import socket
import stat
import struct
import subprocess
import tarfile
import tempfile
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.data.archive import unpack
from gallerist.io.errors import UserError

MANY = 10_000_000
TREE = {
    "training/lion/1.jpg": b"lion one",
    "training/lion/2.jpg": b"",
    "training/snow leopard/a b  c.jpg": b"blanks" * 40_000,
    "training/Bär/größe – ½.jpg": b"Umlaut",
    "training/狐/きつね.jpg": b"fox",
    "validation/gallery/лев/лев.png": b"lion two",
}


def tree_of(folder):
    """The files below a folder, by their paths, as the operating system sees them."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_tree(folder, tree=None):
    for name, content in (TREE if tree is None else tree).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def tar_of(path, *members, mode="w", **options):
    """A tar of (TarInfo or name, bytes)."""
    with tarfile.open(path, mode, **options) as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.isreg():
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


class Unflagged(zipfile.ZipInfo):
    """A zip member with its name as raw bytes, not flagged as UTF-8, as many programs write it."""

    def __init__(self, raw, extra=b"", system=3):
        super().__init__(raw.decode("cp437"))
        self.raw, self.extra, self.create_system = raw, extra, system

    def _encodeFilenameFlags(self):  # noqa: N802
        return self.raw, self.flag_bits


def zip_of(path, *members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for member, content in members:
            archive.writestr(member, content)
    return path


def zip_member(name, mode=0, system=3):
    info = zipfile.ZipInfo("x")
    info.filename, info.create_system, info.external_attr = name, system, mode << 16
    return info


@pytest.fixture
def folder(tmp_path):
    """Where to unpack: alone in a folder, so that anything left beside it is seen."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "data"


@pytest.fixture
def refused(tmp_path, folder):
    """Unpacking is refused with this message, and nothing is left, in the folder or beside it."""

    def check(archive, message, **limits):
        before = set(tmp_path.rglob("*"))
        with pytest.raises(UserError, match=message) as error:
            unpack(archive, folder, **{"max_bytes": MANY, **limits})
        assert set(tmp_path.rglob("*")) == before
        assert str(archive) in str(error.value)
        return str(error.value)

    return check


# -- what other programs pack -----------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
@pytest.mark.parametrize("style", ["gnu", "pax", "ustar"])
def test_a_tar_of_the_tar_program_comes_out_right(tmp_path, folder, suffix, style):
    source, archive = write_tree(tmp_path / "in"), tmp_path / f"x.{suffix}"
    subprocess.run(["tar", f"--format={style}", "-caf", archive, "-C", source, "."], check=True)
    assert unpack(archive, folder, max_bytes=MANY) == len(TREE)
    assert tree_of(folder) == TREE


@pytest.mark.skipif(not shutil.which("zip"), reason="the zip program is not installed")
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_a_zip_of_the_zip_program_comes_out_right(tmp_path, folder, locale):
    source, archive = write_tree(tmp_path / "in"), tmp_path / "x.zip"
    environment = {**os.environ, "LC_ALL": locale}
    subprocess.run(["zip", "-qr", archive, "."], cwd=source, env=environment, check=True)
    assert unpack(archive, folder, max_bytes=MANY) == len(TREE)
    assert tree_of(folder) == TREE


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_zip_of_python_comes_out_right(tmp_path, folder, method):
    archive = zip_of(tmp_path / "x.zip", *TREE.items(), compression=method)
    assert unpack(archive, folder, max_bytes=MANY) == len(TREE)
    assert tree_of(folder) == TREE


def test_the_format_is_known_by_the_content(tmp_path, folder):
    inner = zip_of(tmp_path / "inner", ("a", b"1")).read_bytes()
    # A plain tar that ends with a zip has the end record of a zip near its own end.
    archive = tar_of(tmp_path / "wrong.zip", ("inner.zip", inner))
    assert zipfile.is_zipfile(archive)
    unpack(archive, folder, max_bytes=MANY)
    assert tree_of(folder) == {"inner.zip": inner}


def test_names_of_200_letters_come_out_right(tmp_path, folder):
    name = "/".join(["long" * 50] * 3) + "/ü.jpg"
    for style in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        unpack(tar_of(tmp_path / "x.tar", (name, b"1"), format=style), folder, max_bytes=MANY)
        assert tree_of(folder) == {name: b"1"}


def test_a_sparse_file_comes_out_whole(tmp_path, folder):
    source = tmp_path / "in"
    source.mkdir()
    with (source / "sparse").open("wb") as file:
        file.write(b"head")
        file.seek(1_000_000)
        file.write(b"tail")
    subprocess.run(["tar", "-Scf", tmp_path / "x.tar", "-C", source, "sparse"], check=True)
    assert (tmp_path / "x.tar").stat().st_size < 100_000
    unpack(tmp_path / "x.tar", folder, max_bytes=MANY)
    assert (folder / "sparse").read_bytes() == (source / "sparse").read_bytes()


def test_owners_permissions_and_times_are_not_taken_over(tmp_path, folder):
    info = tarfile.TarInfo("a.jpg")
    info.mode, info.mtime, info.uid = 0o6777, 1, 12345
    before = (tmp_path / "clock").write_bytes(b"") or (tmp_path / "clock").stat().st_mtime
    unpack(tar_of(tmp_path / "x.tar", (info, b"1")), folder, max_bytes=MANY)
    status, usual = (folder / "a.jpg").stat(), (tmp_path / "clock").stat()
    assert (status.st_mode, status.st_uid) == (usual.st_mode, usual.st_uid)
    assert status.st_mtime >= before
    (tmp_path / "folder").mkdir()
    assert folder.stat().st_mode == (tmp_path / "folder").stat().st_mode


def test_a_path_that_goes_up_and_stays_inside_is_taken(tmp_path, folder):
    unpack(tar_of(tmp_path / "x.tar", ("./a/../b//c.jpg", b"1")), folder, max_bytes=MANY)
    assert tree_of(folder) == {"b/c.jpg": b"1"}


def test_a_folder_in_a_zip_may_be_known_by_its_mode_alone(tmp_path, folder):
    mark = zip_member("lion", stat.S_IFDIR | 0o755)
    unpack(zip_of(tmp_path / "x.zip", (mark, b""), ("lion/1", b"1")), folder, max_bytes=MANY)
    assert tree_of(folder) == {"lion/1": b"1"}


def test_empty_folders_are_kept(tmp_path, folder):
    unpack(zip_of(tmp_path / "x.zip", ("empty/", b""), ("a", b"1")), folder, max_bytes=MANY)
    assert (folder / "empty").is_dir()


def test_an_existing_folder_is_replaced(tmp_path, folder):
    write_tree(folder, {"old/picture.jpg": b"old"})
    assert unpack(tar_of(tmp_path / "x.tar", ("new.jpg", b"1")), folder, max_bytes=MANY) == 1
    assert tree_of(folder) == {"new.jpg": b"1"}
    assert os.listdir(folder.parent) == ["data"]  # noqa: PTH208


def test_an_existing_folder_is_kept_when_the_archive_is_refused(tmp_path, folder, refused):
    write_tree(folder, {"old/picture.jpg": b"old"})
    refused(tar_of(tmp_path / "x.tar", ("new.jpg", b"1"), ("../x", b"")), "out of the folder")
    assert tree_of(folder) == {"old/picture.jpg": b"old"}


def test_a_linked_folder_is_replaced_where_it_lies(tmp_path, folder):
    elsewhere = write_tree(tmp_path / "elsewhere" / "data", {"old.jpg": b"old"})
    folder.symlink_to(elsewhere)
    unpack(tar_of(tmp_path / "x.tar", ("new.jpg", b"1")), folder, max_bytes=MANY)
    assert folder.is_symlink()
    assert tree_of(elsewhere) == {"new.jpg": b"1"}


def test_what_a_killed_process_of_the_same_number_left_is_no_hindrance(tmp_path, folder):
    write_tree(folder.with_name(f".data.{os.getpid()}@{socket.gethostname()}.new"), {"half": b""})
    write_tree(folder.with_name(f".data.{os.getpid()}@{socket.gethostname()}.old"), {"half": b""})
    write_tree(folder, {"old.jpg": b""})
    unpack(tar_of(tmp_path / "x.tar", ("new.jpg", b"1")), folder, max_bytes=MANY)
    assert tree_of(folder) == {"new.jpg": b"1"}
    assert len(list(folder.parent.iterdir())) == 1


def test_a_name_that_occurs_twice_is_the_later_one(tmp_path, folder, caplog):
    for archive in (
        tar_of(tmp_path / "x.tar", ("a", b"first, and longer"), ("a", b"second")),
        write_zip_with_a_name_twice(tmp_path / "x.zip"),
    ):
        caplog.clear()
        assert unpack(archive, folder, max_bytes=MANY) == 1
        assert tree_of(folder) == {"a": b"second"}
        assert "1 files replaced by later ones" in caplog.text


def write_zip_with_a_name_twice(path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zip_of(path, ("a", b"first, and longer"), ("a", b"second"))


def test_progress_is_logged_in_bytes(tmp_path, folder, caplog):
    caplog.set_level(logging.INFO, "gallerist")
    unpack(zip_of(tmp_path / "x.zip", ("a", b"12345"), ("b", b"")), folder, max_bytes=MANY)
    assert re.findall(r"(\d+ of \d+ bytes of x\.zip), ", caplog.text) == ["5 of 5 bytes of x.zip"]


# -- names ------------------------------------------------------------------------------------


def unicode_path(raw, name):
    """Info-ZIP's extra field 0x7075."""
    data = b"\1" + struct.pack("<I", zipfile.crc32(raw)) + name.encode()
    return struct.pack("<HH", 0x7075, len(data)) + data


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("Bär und Löwe/ä.jpg", "Bär und Löwe/ä.jpg"),
        (Unflagged("Bär/лев ½.jpg".encode()), "Bär/лев ½.jpg"),
        (Unflagged("Bär/ä.jpg".encode("cp437"), system=0), "Bär/ä.jpg"),
        (Unflagged(b"B_r", unicode_path(b"B_r", "Bär.jpg")), "Bär.jpg"),
        (Unflagged(b"B_r", b"\x55\x54\1\0x" + unicode_path(b"B_r", "Bär.jpg")), "Bär.jpg"),
        (Unflagged(b"renamed", unicode_path(b"B_r", "Bär.jpg")), "renamed"),
        (Unflagged(b"training\\lion\\1.jpg", system=0), "training/lion/1.jpg"),
        (Unflagged(b"back\\slash.jpg"), "back\\slash.jpg"),
        (unicodedata.normalize("NFD", "Bär.jpg"), unicodedata.normalize("NFD", "Bär.jpg")),
    ],
)
def test_a_name_in_a_zip_is_read_as_it_was_meant(tmp_path, folder, member, name):
    unpack(zip_of(tmp_path / "x.zip", (member, b"1")), folder, max_bytes=MANY)
    assert tree_of(folder) == {name: b"1"}


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_name_in_a_tar_that_is_not_utf8_is_read_as_latin1(tmp_path, folder, style):
    archive = tar_of(tmp_path / "x.tar", ("Bär.jpg", b"1"), format=style, encoding="latin-1")
    unpack(archive, folder, max_bytes=MANY)
    assert tree_of(folder) == {"Bär.jpg": b"1"}


def test_what_macos_adds_is_left_out(tmp_path, folder, caplog):
    caplog.set_level(logging.INFO, "gallerist")
    wanted = [("lion/1.jpg", b"1"), ("lion/_2.jpg", b"2"), ("x/__MACOSX/3.jpg", b"3")]
    extra = [("__MACOSX/lion/._1.jpg", b"fork"), ("lion/._1.jpg", b"fork"), ("__MACOSX/", b"")]
    for archive in (
        zip_of(tmp_path / "x.zip", *extra, *wanted),
        tar_of(tmp_path / "x.tar", *extra, *wanted),
    ):
        assert unpack(archive, folder, max_bytes=MANY) == 3
        assert tree_of(folder) == dict(wanted)
    assert "3 additions of macOS left out" in caplog.text


# -- paths and links that leave ---------------------------------------------------------------


LEAVING = [
    ("../evil.jpg", "leads out of the folder"),
    ("a/../../evil.jpg", "leads out of the folder"),
    ("a/../../data/evil.jpg", "leads out of the folder"),
    ("..", "leads out of the folder"),
    ("/evil.jpg", "has an absolute path"),
    ("//evil.jpg", "has an absolute path"),
    ("C:/evil.jpg", "has an absolute path"),
    ("C:\\evil.jpg", "has an absolute path"),
    ("\\\\server\\evil.jpg", "has an absolute path"),
    (".", "is a file without a name"),
]


@pytest.mark.parametrize(("name", "message"), LEAVING)
def test_a_path_that_leaves_a_tar_is_refused(tmp_path, refused, name, message):
    archive = tar_of(tmp_path / "x.tar", ("fine.jpg", b"1"), (name, b"evil"))
    assert repr(name) in refused(archive, message)


@pytest.mark.parametrize(("name", "message"), LEAVING)
def test_a_path_that_leaves_a_zip_is_refused(tmp_path, refused, name, message):
    archive = zip_of(tmp_path / "x.zip", ("fine.jpg", b"1"), (zip_member(name), b"evil"))
    assert repr(name) in refused(archive, message)


@pytest.mark.parametrize("name", ["..\\..\\evil.jpg", "a\\..\\..\\evil.jpg"])
def test_a_path_with_backslashes_that_leaves_a_zip_is_refused(tmp_path, refused, name):
    archive = zip_of(tmp_path / "x.zip", (zip_member(name, system=0), b"evil"))
    refused(archive, "leads out of the folder")


def test_a_folder_that_leaves_is_refused(tmp_path, refused):
    refused(zip_of(tmp_path / "x.zip", ("../evil/", b""), ("a", b"1")), "leads out of the folder")
    refused(
        tar_of(tmp_path / "x.tar", special("../evil", tarfile.DIRTYPE)), "leads out of the folder"
    )


def test_a_name_with_a_nul_is_refused(tmp_path, refused):
    archive = zip_of(tmp_path / "x.zip", (zip_member("fine.jpg\0.sh"), b"evil"))
    refused(archive, "NUL in its name")


SYMBOLIC, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    ("kind", "name", "target"),
    [
        (SYMBOLIC, "link", "../outside"),
        (SYMBOLIC, "link", ".."),
        (SYMBOLIC, "a/link", "../../outside"),
        (SYMBOLIC, "a/link", "../b/../../outside"),
        (SYMBOLIC, "link", "/etc/passwd"),
        (SYMBOLIC, "link", "fine.jpg/../../outside"),
        (HARD, "link", "../outside"),
        (HARD, "link", "/etc/passwd"),
        (HARD, "a/b/link", "../outside"),
    ],
)
def test_a_link_that_leaves_a_tar_is_refused(tmp_path, refused, kind, name, target):
    (tmp_path / "out" / "outside").write_bytes(b"secret")
    archive = tar_of(tmp_path / "x.tar", ("fine.jpg", b"1"), special(name, kind, target))
    message = refused(archive, "is a link out of the folder")
    assert repr(name) in message
    assert repr(target) in message


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "a/../../outside"])
def test_a_link_that_leaves_a_zip_is_refused(tmp_path, refused, target):
    (tmp_path / "out" / "outside").write_bytes(b"secret")
    link = zip_member("link", stat.S_IFLNK | 0o777)
    refused(zip_of(tmp_path / "x.zip", (link, target)), "is a link out of the folder")


def test_links_that_leave_only_together_are_refused(tmp_path, refused):
    # By its words `second` leads to a/b; through `first` it leads two above the folder.
    archive = tar_of(
        tmp_path / "x.tar",
        ("a/b/c/fine.jpg", b"1"),
        special("a/b/c/first", SYMBOLIC, "../../.."),
        special("second", SYMBOLIC, "a/b/c/first/../.."),
    )
    assert "'second'" in refused(archive, "is a link out of the folder")


def test_links_too_deep_for_the_system_are_refused(tmp_path, refused):
    # CVE-2025-4517: tarfile's filter does not follow a path longer than PATH_MAX, the system does.
    step, letters, path = "d" * 247, "abcdefghijklmnop", ""
    members = [("fine.jpg", b"1")]
    for letter in letters:
        members.append(special(path + step, tarfile.DIRTYPE))
        members.append(special(path + letter, SYMBOLIC, step))
        path += f"{step}/"
    deep = "/".join(letters) + "/" + "l" * 254
    members.append(special(deep, SYMBOLIC, "../" * len(letters)))
    members.append(special("escape", SYMBOLIC, f"{deep}/../../outside"))
    members.append(("escape", b"evil"))
    refused(tar_of(tmp_path / "x.tar", *members), "wants the place|cannot be written|out of")


@pytest.mark.parametrize("target", ["../outside", "/tmp", ".", "real"])
def test_nothing_is_written_through_a_link(tmp_path, refused, target):
    (tmp_path / "out" / "outside").mkdir()
    archive = tar_of(
        tmp_path / "x.tar",
        ("real/fine.jpg", b"1"),
        special("link", SYMBOLIC, target),
        ("link/evil.jpg", b"evil"),
    )
    refused(archive, r"link out of the folder|wants the place of another member")


def test_a_file_in_the_place_of_a_folder_or_a_link_is_refused(tmp_path, refused):
    taken = "wants the place of another member"
    for members in (
        [("a", b"1"), ("a/b", b"2")],
        [("a/b", b"1"), ("a", b"2")],
        [("a", b"1"), ("a/b/c", b"2")],
        [("b", b"1"), special("a", SYMBOLIC, "b"), special("a", SYMBOLIC, "b")],
        [("b", b"1"), ("a", b"2"), special("a", HARD, "b")],
        [("a", b"1"), special("a", tarfile.DIRTYPE)],
    ):
        refused(tar_of(tmp_path / "x.tar", *members), taken)


def test_links_within_the_folder_are_kept(tmp_path, folder):
    archive = tar_of(
        tmp_path / "x.tar",
        special("latest", SYMBOLIC, "v1/lion"),
        ("v1/lion/1.jpg", b"1"),
        special("v2/lion/1.jpg", SYMBOLIC, "../../v1/lion/1.jpg"),
        special("v2/lion/2.jpg", HARD, "v1/lion/1.jpg"),
    )
    assert unpack(archive, folder, max_bytes=MANY) == 4
    assert (folder / "latest" / "1.jpg").read_bytes() == b"1"
    assert (folder / "v2/lion/1.jpg").readlink() == Path("../../v1/lion/1.jpg")
    assert (folder / "v2/lion/2.jpg").samefile(folder / "v1/lion/1.jpg")


def test_links_of_the_zip_program_are_kept(tmp_path, folder):
    link = zip_member("b/ü.jpg", stat.S_IFLNK | 0o777)
    archive = zip_of(tmp_path / "x.zip", (link, "../a/ü.jpg"), ("a/ü.jpg", b"1"))
    assert unpack(archive, folder, max_bytes=MANY) == 2
    assert (folder / "b/ü.jpg").readlink() == Path("../a/ü.jpg")
    assert (folder / "b/ü.jpg").read_bytes() == b"1"


def test_a_link_in_a_zip_with_an_endless_target_is_refused(tmp_path, refused):
    link = zip_member("link", stat.S_IFLNK | 0o777)
    archive = zip_of(tmp_path / "x.zip", (link, "a/../" * 1000 + "a"), ("a", b"1"))
    refused(archive, "'link' is a link with a target of 5001 bytes")


def test_links_to_nothing_and_in_a_circle_are_refused(tmp_path, refused):
    file = ("a", b"1")
    tar = tmp_path / "x.tar"
    refused(tar_of(tar, file, special("b", SYMBOLIC, "gone")), "which is not in the archive")
    refused(tar_of(tar, file, special("b", HARD, "gone")), "which is no file of the archive")
    refused(
        tar_of(tar, special("b", SYMBOLIC, "c"), special("c", SYMBOLIC, "b")),
        "which is not in the archive",
    )


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_devices_and_pipes_are_refused(tmp_path, refused, kind):
    archive = tar_of(tmp_path / "x.tar", ("a", b"1"), special("dev/zero", kind))
    assert "'dev/zero'" in refused(archive, "is a device or a pipe")


def test_a_pipe_in_a_zip_is_refused(tmp_path, refused):
    archive = zip_of(tmp_path / "x.zip", (zip_member("pipe", stat.S_IFIFO | 0o666), b""))
    assert "'pipe'" in refused(archive, "is a device or a pipe")


def test_a_member_of_an_unknown_kind_is_refused(tmp_path, refused):
    refused(tar_of(tmp_path / "x.tar", special("label", b"V")), "'label' is of the unknown kind")


# -- size -------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_above_the_limit_is_refused_and_at_the_limit_taken(
    tmp_path, folder, refused, compress
):
    plain = tar_of(tmp_path / "plain", ("a", bytes(600)), ("b/c", bytes(401)))
    archive = tmp_path / "x.tar"
    archive.write_bytes(compress(plain.read_bytes()))
    assert "'b/c'" in refused(archive, "more than the 1000 bytes", max_bytes=1000)
    assert unpack(archive, folder, max_bytes=1001) == 2


def test_a_zip_that_declares_more_than_the_limit_is_refused_before_unpacking(tmp_path, refused):
    archive = zip_of(tmp_path / "x.zip", ("a", bytes(600)), ("b", bytes(401)))
    refused(archive, "holds 1001 bytes, and 1000 may be unpacked", max_bytes=1000)


def test_a_zip_bomb_that_declares_little_is_refused(tmp_path, refused):
    archive = zip_of(
        tmp_path / "x.zip", ("bomb", bytes(5_000_000)), compression=zipfile.ZIP_DEFLATED
    )
    honest = archive.read_bytes()
    archive.write_bytes(honest.replace(struct.pack("<I", 5_000_000), struct.pack("<I", 10)))
    assert archive.stat().st_size < 100_000
    assert "'bomb'" in refused(archive, "is damaged: Bad CRC-32", max_bytes=1000)


def test_one_body_that_many_members_share_is_counted_for_each(tmp_path, refused):
    """Fifield, A better zip bomb (2019): here, members of one name over the same bytes."""
    archive = zip_of(tmp_path / "x.zip", ("a", bytes(1000)))
    data = archive.read_bytes()
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry, record = data[start:end], bytearray(data[end:])
    struct.pack_into("<HHII", record, 8, 100, 100, 100 * len(entry), start)
    archive.write_bytes(data[:start] + entry * 100 + record)
    assert len(zipfile.ZipFile(archive).infolist()) == 100
    refused(archive, "holds 100000 bytes, and 50000 may be unpacked", max_bytes=50_000)


def test_replaced_files_count_too(tmp_path, refused):
    archive = tar_of(tmp_path / "x.tar", ("a", bytes(600)), ("a", bytes(600)))
    refused(archive, "more than the 1000 bytes", max_bytes=1000)


def test_a_sparse_file_counts_as_long_as_it_is(tmp_path, refused):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    subprocess.run(["tar", "-Scf", tmp_path / "x.tar", "-C", tmp_path, "sparse"], check=True)
    (tmp_path / "sparse").unlink()
    refused(tmp_path / "x.tar", "'sparse' makes it more than")


def test_too_many_files_and_folders_are_refused(tmp_path, folder, refused):
    archive = zip_of(tmp_path / "x.zip", ("a/", b""), ("a/1", b""), ("a/2", b""), ("a/3", b""))
    assert "'a/3'" in refused(archive, "one more than the 2 files allowed", max_files=2)
    assert unpack(archive, folder, max_bytes=0, max_files=3) == 3
    shutil.rmtree(folder)
    archive = zip_of(tmp_path / "x.zip", ("1", b""), ("a/", b""), ("b/", b""))
    assert "'b/'" in refused(archive, "one more than the 1 folders allowed", max_files=1)
    links = [special(f"b{i}", SYMBOLIC, "a") for i in range(3)]
    archive = tar_of(tmp_path / "x.tar", ("a", b""), *links)
    assert "'b2'" in refused(archive, "one more than the 3 files allowed", max_files=3)


def test_folders_that_stand_in_paths_alone_are_counted(tmp_path, folder, refused):
    deep = [("/".join(f"{i}_{j}" for j in range(30)) + "/f", b"") for i in range(4)]
    archive = tar_of(tmp_path / "x.tar", *deep)
    assert "'3_0/" in refused(archive, "one more than the 100 folders allowed", max_files=100)
    assert unpack(archive, folder, max_bytes=0, max_files=120) == 4
    archive = zip_of(tmp_path / "x.zip", *deep)
    refused(archive, "one more than the 119 folders allowed", max_files=119)


def test_members_that_replace_each_other_or_are_left_out_are_counted(tmp_path, refused):
    archive = tar_of(tmp_path / "x.tar", *[("a", b"1")] * 9)
    refused(archive, "one more than the 6 members allowed", max_files=2)
    archive = tar_of(tmp_path / "x.tar", ("a", b""), ("__MACOSX/a", bytes(2000)))
    refused(archive, "makes it more than the 1000 bytes", max_bytes=1000)
    archive = zip_of(tmp_path / "x.zip", *((f"__MACOSX/{i}", b"") for i in range(9)))
    refused(archive, "it lists more than 6 members", max_files=2)


def attributes(text, kind):
    """A header of a tar that gives attributes to the next member, or to all."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = kind, len(text)
    return info.tobuf() + text + bytes(-len(text) % 512)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_that_fill_the_memory_together_are_refused(tmp_path, refused, kind):
    records = (b"%d g%06d=%s\n" % (1_000_000, each, b"x" * 999_984) for each in range(40))
    content = b"".join(attributes(record, kind) for record in records)
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(content + tarfile.TarInfo("a").tobuf()))
    refused(tmp_path / "x.tar.gz", "headers of more than|attributes of all members|recursion")


def test_an_archive_that_wants_gigabytes_to_be_unpacked_is_refused(tmp_path, refused):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
    plain = tar_of(tmp_path / "plain", ("a", b"1")).read_bytes()
    (tmp_path / "x.tar.xz").write_bytes(lzma.compress(plain, filters=filters))
    (tmp_path / "plain").unlink()
    refused(tmp_path / "x.tar.xz", "content is damaged or no tar: Memory usage limit exceeded")
    archive = zip_of(tmp_path / "x.zip", ("a", b"1"), compression=zipfile.ZIP_LZMA)
    content = bytearray(archive.read_bytes())
    content[30 + 1 + 5 : 30 + 1 + 9] = (1 << 30).to_bytes(4, "little")
    archive.write_bytes(content)
    refused(archive, "'a' wants more than 268435456 bytes of memory")


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path, refused):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    refused(tmp_path / "x.tar", "x.tar is")
    fine = tarfile.TarInfo("a")
    (tmp_path / "x.tar").write_bytes(fine.tobuf() + info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    refused(tmp_path / "x.tar", r"damaged or cut short near byte 512 of the tar: headers of")


@pytest.mark.parametrize("size", [-512, -1024, -(1 << 40)])
def test_a_size_below_0_is_refused(tmp_path, refused, size):
    # CVE-2025-8194: tarfile goes back by that much, and reads the same members for ever.
    info = tarfile.TarInfo("back")
    info.size = size
    content = tarfile.TarInfo("a").tobuf() + info.tobuf(tarfile.GNU_FORMAT) + bytes(10240)
    (tmp_path / "x.tar").write_bytes(content)
    refused(tmp_path / "x.tar", "'back' is damaged: it has a size below 0")


def test_a_flood_after_the_end_of_a_tar_is_refused(tmp_path, refused):
    plain = tar_of(tmp_path / "plain", ("a", b"1")).read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(plain + bytes(5_000_000)))
    refused(tmp_path / "x.tar.gz", "bytes after its end mark", max_bytes=1000)


# -- damage -----------------------------------------------------------------------------------


def random_tree(seed=1):
    content = random.Random(seed)
    return [(f"class {i % 3}/{i}.jpg", content.randbytes(700)) for i in range(12)]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_cut_short_anywhere_is_refused(tmp_path, refused, compress):
    plain = tar_of(tmp_path / "plain", *random_tree()).read_bytes()
    end = len(plain.rstrip(b"\0"))
    whole = compress(plain)
    archive = tmp_path / "x.tar"
    between_members = {512, 1024, 1024 + 1024, 10 * 512}
    longest = end if compress is bytes else len(whole) - 1
    steps = range(1, longest, max(longest // 12, 1))
    for length in sorted({*steps, longest, *between_members} & set(range(longest + 1))):
        archive.write_bytes(whole[:length])
        refused(archive, r"x\.tar")


def test_a_tar_with_a_damaged_header_in_the_middle_is_refused(tmp_path, refused):
    plain = bytearray(tar_of(tmp_path / "plain", *random_tree()).read_bytes())
    second = plain.index(b"class 1/1.jpg")
    plain[second] ^= 0xFF
    (tmp_path / "x.tar").write_bytes(plain)
    with tarfile.open(tmp_path / "x.tar") as tar:  # tarfile says nothing, and gives one of twelve
        assert len(tar.getmembers()) == 1
    refused(tmp_path / "x.tar", "has a damaged header")


def test_a_compressed_tar_with_a_wrong_checksum_is_refused(tmp_path, refused):
    packed = bytearray(gzip.compress(tar_of(tmp_path / "plain", *random_tree()).read_bytes()))
    packed[-6] ^= 0xFF
    (tmp_path / "x.tar.gz").write_bytes(packed)
    refused(tmp_path / "x.tar.gz", "is damaged at its end: CRC check failed")


def test_a_zip_cut_short_anywhere_is_refused(tmp_path, refused):
    whole = zip_of(tmp_path / "whole", *random_tree()).read_bytes()
    for length in [10, 500, len(whole) // 2, len(whole) - 30, len(whole) - 1]:
        (tmp_path / "x.zip").write_bytes(whole[:length])
        refused(tmp_path / "x.zip", r"x\.zip is a zip that is damaged or cut short")


def test_a_damaged_picture_in_a_zip_is_named(tmp_path, refused):
    whole = bytearray(zip_of(tmp_path / "whole", *random_tree()).read_bytes())
    whole[whole.index(random_tree()[5][1]) + 3] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(whole)
    assert "'class 2/5.jpg'" in refused(tmp_path / "x.zip", "is damaged: Bad CRC-32")


def test_an_encrypted_zip_is_refused(tmp_path, refused):
    archive = zip_of(tmp_path / "x.zip", ("secret.jpg", b"1"))
    data = bytearray(archive.read_bytes())
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(magic) + offset] |= 1
    archive.write_bytes(data)
    assert "'secret.jpg'" in refused(archive, "is encrypted. Unpack it by hand")


@pytest.mark.skipif(not shutil.which("zip"), reason="the zip program is not installed")
def test_a_zip_encrypted_by_the_zip_program_is_refused(tmp_path, refused):
    write_tree(tmp_path / "in", {"a.jpg": b"1"})
    subprocess.run(["zip", "-qre", "-P", "pw", tmp_path / "x.zip", "."], cwd=tmp_path / "in")
    refused(tmp_path / "x.zip", "is encrypted")


def test_a_compression_that_python_does_not_know_is_named(tmp_path, refused):
    archive = zip_of(tmp_path / "x.zip", ("a.jpg", b"1"))
    data = bytearray(archive.read_bytes())
    for magic, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        data[data.index(magic) + offset] = 9  # Deflate64, as Windows uses above 2 GB
    archive.write_bytes(data)
    assert "'a.jpg'" in refused(archive, "cannot be read: .*compress.*Unpack it by hand")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "It is empty"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "7z archive"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(600), "RAR archive"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "Zstandard"),
        (b"<!DOCTYPE html><html>" + bytes(600), "a web page, perhaps a login"),
        (b"\xff\xd8\xff\xe0 a picture" + bytes(600), "It begins with"),
    ],
)
def test_an_unknown_format_is_named_with_a_way_out(tmp_path, refused, content, what):
    (tmp_path / "x.tar").write_bytes(content)
    message = refused(tmp_path / "x.tar", what)
    assert "neither a tar" in message
    assert "unpack it by hand, and give the folder" in message


def test_a_compressed_file_that_is_no_tar_is_named(tmp_path, refused):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"a text" * 1000))
    refused(tmp_path / "x.gz", "is compressed by gzip, but its content is damaged or no tar")


def test_archives_without_a_file_are_refused(tmp_path, refused):
    refused(zip_of(tmp_path / "x.zip"), "holds no file")
    refused(tar_of(tmp_path / "x.tar"), "holds no file")
    refused(tar_of(tmp_path / "y.tar", special("a", tarfile.DIRTYPE)), "holds no file")
    refused(zip_of(tmp_path / "y.zip", ("__MACOSX/._a", b"1")), "holds no file")


def test_what_cannot_be_unpacked_where_it_should_be_is_named(tmp_path, folder, refused):
    archive = tar_of(tmp_path / "x.tar", ("a", b"1"))
    with pytest.raises(UserError, match="there is no such file"):
        unpack(tmp_path / "gone.tar", folder, max_bytes=MANY)
    with pytest.raises(UserError, match="unpacking replaces"):
        unpack(archive, tmp_path, max_bytes=MANY)
    with pytest.raises(UserError, match="is a file"):
        unpack(archive, archive.with_name("x.tar"), max_bytes=MANY)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="could not be unpacked into"):
        unpack(archive, tmp_path / "file" / "data", max_bytes=MANY)
    refused(tar_of(tmp_path / "y.tar", ("n" * 300, b"1")), "cannot be written: File name too long")


def test_bytes_after_the_end_of_a_tar_are_mentioned(tmp_path, folder, caplog):
    first = tar_of(tmp_path / "first", ("a", b"1")).read_bytes()
    (tmp_path / "x.tar").write_bytes(first + tar_of(tmp_path / "second", ("b", b"2")).read_bytes())
    assert unpack(tmp_path / "x.tar", folder, max_bytes=MANY) == 1
    assert "after the end mark of the tar are ignored" in caplog.text


def samples():
    """Small archives of every kind of member, as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        long = "/".join(["long name"] * 20)
        for style in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            members = [("a/ü.jpg", b"1" * 600), (long, b"2"), special("l", SYMBOLIC, "a/ü.jpg")]
            tar_of(path, *members, special("h", HARD, "a/ü.jpg"), format=style)
            yield path.read_bytes()[:6000].ljust(6656, b"\0")
        zip_of(path, ("a/ü.jpg", b"1" * 600), ("b", b"2"), compression=zipfile.ZIP_DEFLATED)
        yield path.read_bytes()


SAMPLES = list(samples())


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_is_damaged_it_is_unpacked_or_refused_and_stays_inside(data):
    content = bytearray(data.draw(st.sampled_from(SAMPLES)))
    edits = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(edits, min_size=1, max_size=8)):
        content[place] = value
    with tempfile.TemporaryDirectory() as outer:
        archive, folder = Path(outer) / "x", Path(outer) / "out" / "data"
        archive.write_bytes(content)
        try:
            count = unpack(archive, folder, max_bytes=5000)
        except UserError:
            assert not folder.exists()
        else:
            assert count == sum(not path.is_dir() for path in folder.rglob("*")) >= 1
            assert sum(map(len, tree_of(folder).values())) <= 4 * 5000
        assert {path.name for path in Path(outer).iterdir()} <= {"x", "out"}
