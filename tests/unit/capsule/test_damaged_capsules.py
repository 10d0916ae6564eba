"""Capsules of strangers, damaged: what does not agree is named, or the whole is refused."""

import pytest
from capsules import files_of, write
from damage import refusals
from peak_memory import growth_below, needs_linux
from small_comparison import write_results

from gallerist.capsule.packing import pack
from gallerist.capsule.verification import verify
from gallerist.io.errors import UserError

FEW = 10
MANY = pytest.param(2_000, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])
MEGABYTES = 64


@pytest.fixture(scope="module")
def capsule(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    pack(write_results(folder), folder / "capsule.zip")
    return folder / "capsule.zip"


MEMBERS = (
    *("contents.json", "protocol.json", "experiments.json", "about.json", "truth.csv"),
    *("rankings/good.csv", "queries/good.csv", "comparison/comparison.csv"),
)


@needs_linux
@pytest.mark.parametrize("count", [FEW, MANY])
@pytest.mark.parametrize("member", [None, *MEMBERS])
def test_a_damaged_capsule_is_judged_in_words(tmp_path, capsule, member, count):
    """member: what is damaged, and named in the list with its hash; None for the whole file."""
    files, path = files_of(capsule), tmp_path / "damaged.zip"

    def read(content):
        if member is None:
            path.write_bytes(content)
        else:
            listed = member != "contents.json"
            write(path, {**files, member: content}, fix_hashes=listed)
        verdict = verify(path)
        if not verdict.agrees:
            raise UserError("\n".join(map(str, [*verdict.altered, *verdict.wrong])))

    content = capsule.read_bytes() if member is None else files[member]
    read(content)
    with growth_below(MEGABYTES):
        refused = refusals(content, read, count)
    assert len(refused) > count // 10 or member == "about.json"
