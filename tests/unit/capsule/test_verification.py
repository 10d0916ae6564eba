"""A capsule is recomputed cell by cell, and no changed digit of what follows from it passes."""

import csv
import io
import re
import zipfile

import numpy as np
import pytest
from capsules import files_of, run_alone, write
from small_comparison import EXPERIMENTS, GROUPS, write_results

from gallerist.capsule.contents import STATED, table_names
from gallerist.capsule.packing import pack
from gallerist.capsule.verification import verify
from gallerist.commands.main import main
from gallerist.io.errors import UserError

TABLES = [
    *(f"comparison/{name}.csv" for name in ("comparison", "metrics", "differences", "over_seeds")),
    *("queries/seed_1.csv", "classes/good.csv", "curves/seed_2.csv"),
]


@pytest.fixture(scope="module")
def capsule(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verification")
    pack(write_results(folder), folder / "capsule.zip")
    return folder / "capsule.zip"


@pytest.fixture(scope="module")
def files(capsule):
    return files_of(capsule)


def other_digit(text, position):
    """The text with another digit in the place of one."""
    return f"{text[:position]}{(int(text[position]) + 1) % 10}{text[position + 1 :]}"


def digits_of(rows, skipped=()):
    """(row, column, position) of every digit in the cells below the header."""
    return [
        (line, column, found.start())
        for line, row in enumerate(rows[1:], start=1)
        for column, cell in enumerate(row)
        if rows[0][column] not in skipped
        for found in re.finditer(r"\d", cell)
    ]


def rows_of(content):
    return list(csv.reader(io.StringIO(content.decode())))


def with_cells(rows, cells):
    changed = [list(row) for row in rows]
    for (line, column), cell in cells.items():
        changed[line][column] = cell
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(changed)
    return text.getvalue().encode()


def spread(things, count):
    return things[:: max(1, len(things) // count)][:count] + things[-1:]


def verdict_of(path, files, **settings):
    return verify(write(path, files, **settings))


def test_an_untouched_capsule_agrees_in_every_cell(capsule, files):
    verdict = verify(capsule)
    assert list(map(str, [*verdict.altered, *verdict.wrong])) == []
    assert verdict.agrees
    cells = 0
    for name, content in files.items():
        if name.split("/")[0] in ("comparison", "queries", "classes", "curves"):
            header, *rows = csv.reader(io.StringIO(content.decode()))
            cells += len(header) * len(rows)
    assert verdict.recomputed + verdict.stated == cells
    assert verdict.stated == len(STATED) * len(GROUPS)


def test_a_changed_file_is_refused_by_name_before_anything_else(capsule, files, tmp_path):
    for name, content in files.items():
        if name == "contents.json" or "seed_" in name or not name.endswith((".csv", ".json")):
            continue
        place = re.search(rb"\d", content).start()
        digit = b"%d" % ((int(content[place : place + 1]) + 1) % 10)
        changed = content[:place] + digit + content[place + 1 :]
        path = write(tmp_path / "changed.zip", {**files, name: changed})
        first = next(verify(path).lines())
        assert first.startswith(f"{name}, SHA-256: stated "), first


@pytest.mark.parametrize("name", ["__main__.py", "gallerist/evaluation/bootstrap.py", "README.txt"])
def test_changed_code_is_named_and_not_run(name, files, tmp_path):
    traced = tmp_path / "it ran"
    trap = f"open({str(traced)!r}, 'w').close()\n".encode()
    verdict = verdict_of(tmp_path / "changed.zip", {**files, name: trap + files[name]})
    assert [each.file for each in verdict.altered] == [name]
    assert not traced.exists()


def test_a_changed_list_of_hashes_is_found_by_its_digest(files, tmp_path):
    contents = files["contents.json"].decode()
    for place in [found.start() for found in re.finditer(r"\d", contents)][3::900]:
        changed = {**files, "contents.json": other_digit(contents, place).encode()}
        verdict = verdict_of(tmp_path / "changed.zip", changed)
        assert verdict.altered, contents[place - 30 : place + 30]


@pytest.mark.parametrize("name", TABLES)
def test_a_changed_digit_is_found_in_its_cell_though_the_hash_is_fixed_up(name, files, tmp_path):
    rows = rows_of(files[name])
    line, column, position = spread(digits_of(rows), 3)[1]
    cell = other_digit(rows[line][column], position)
    changed = {**files, name: with_cells(rows, {(line, column): cell})}
    verdict = verdict_of(tmp_path / "changed.zip", changed, fix_hashes=True)
    assert not verdict.altered
    (wrong,) = verdict.wrong
    assert (wrong.file, wrong.stated, wrong.found) == (name, cell, rows[line][column])
    assert wrong.place.startswith(f"line {line + 1} (")
    assert wrong.place.endswith(f"column {rows[0][column]}")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_changed_digit_is_found_in_each_cell_of_all_tables(seed, files, tmp_path):
    """One digit of every cell of every table at once: so many cells are named, and no other."""
    random = np.random.default_rng(seed)
    changed, wanted = dict(files), set()
    for name in table_names(tuple(EXPERIMENTS)):
        rows = rows_of(files[name])
        chosen = {}
        for line, column, position in random.permutation(digits_of(rows)).tolist():
            chosen[line, column] = other_digit(rows[line][column], position)
        changed[name] = with_cells(rows, chosen)
        wanted |= {(name, line + 1, rows[0][column]) for line, column in chosen}
    verdict = verdict_of(tmp_path / "changed.zip", changed, fix_hashes=True)
    places = [re.fullmatch(r"line (\d+) \(.*\), column (.+)", each.place) for each in verdict.wrong]
    found = {
        (each.file, int(place[1]), place[2])
        for each, place in zip(verdict.wrong, places, strict=True)
    }
    assert len(wanted) > 1500
    assert found == wanted


@pytest.mark.parametrize(
    ("name", "skipped"),
    [("rankings/good.csv", ("distance",)), ("truth.csv", ("source_id",))],
)
def test_a_changed_digit_of_what_is_evaluated_is_found_too(name, skipped, files, tmp_path):
    rows = rows_of(files[name])
    for line, column, position in spread(digits_of(rows, skipped), 4):
        cell = other_digit(rows[line][column], position)
        changed = {**files, name: with_cells(rows, {(line, column): cell})}
        verdict = verdict_of(tmp_path / "changed.zip", changed, fix_hashes=True)
        assert not verdict.altered
        assert verdict.wrong, (line, rows[0][column], cell)


def test_the_changed_original_of_a_query_is_found(files, tmp_path):
    rows = rows_of(files["truth.csv"])
    line = next(n for n, row in enumerate(rows) if row[2] == "query")
    changed = with_cells(rows, {(line, 3): other_digit(rows[line][3], 15)})
    verdict = verdict_of(tmp_path / "changed.zip", {**files, "truth.csv": changed}, fix_hashes=True)
    assert {each.place.split("column ")[-1] for each in verdict.wrong} >= {"original"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"seed": 7', '"seed": 8'),
        ('"confidence": 0.95', '"confidence": 0.96'),
        ('"bootstrap_rounds": 200', '"bootstrap_rounds": 201'),
        ('"depth": 1000', '"depth": 10'),
        ("mAP@3", "mAP@2"),
        ("seed_2", "seed_3"),
        ("seed_2", "../seed_2"),
        ('"k": [', '"k": {'),
    ],
)
def test_another_protocol_does_not_give_these_figures(before, after, files, tmp_path):
    text = files["protocol.json"].decode()
    assert before in text
    changed = {**files, "protocol.json": text.replace(before, after).encode()}
    verdict = verdict_of(tmp_path / "changed.zip", changed, fix_hashes=True)
    if before.startswith('"depth"'):  # rankings of the whole gallery do not depend on it
        assert verdict.agrees
    else:
        assert not verdict.agrees


def test_costs_are_stated_twice_and_have_to_agree(files, tmp_path):
    text = files["experiments.json"].decode().replace("101.25", "102.25", 1)
    changed = {**files, "experiments.json": text.encode()}
    verdict = verdict_of(tmp_path / "changed.zip", changed, fix_hashes=True)
    assert [each.place for each in verdict.wrong] == ["line 2 (good), column extraction images/s"]


def test_answers_in_another_order_give_other_figures(files, tmp_path):
    rows = rows_of(files["rankings/good.csv"])
    rows[1][2], rows[16][2] = rows[16][2], rows[1][2]
    changed = {**files, "rankings/good.csv": with_cells(rows, {})}
    verdict = verdict_of(tmp_path / "changed.zip", changed, fix_hashes=True)
    wrong = {each.file for each in verdict.wrong}
    assert {"queries/good.csv", "comparison/comparison.csv"} <= wrong


@pytest.mark.parametrize("name", [*TABLES, "truth.csv", "protocol.json", "rankings/good.csv"])
def test_a_missing_file_is_named(name, files, tmp_path):
    fewer = {each: content for each, content in files.items() if each != name}
    verdict = verdict_of(tmp_path / "fewer.zip", fewer)
    assert [each.file for each in verdict.altered] == [name]
    fixed = verdict_of(tmp_path / "fixed.zip", fewer, fix_hashes=True)
    assert not fixed.agrees


def test_a_file_that_nobody_listed_is_named(files, tmp_path):
    verdict = verdict_of(tmp_path / "more.zip", {**files, "more.csv": b"1"})
    assert [each.file for each in verdict.altered] == ["more.csv"]


def test_what_a_capsule_says_cannot_command_the_terminal(files, tmp_path):
    text = files["comparison/comparison.csv"].replace(b"good,", b"\x1b[2Jgood,", 1)
    changed = {**files, "comparison/comparison.csv": text}
    first, *_ = verdict_of(tmp_path / "changed.zip", changed, fix_hashes=True).lines()
    assert first.endswith("stated ?[2Jgood, recomputed good")


@pytest.mark.parametrize("name", ["../outside.csv", "/outside.csv", "a/../../outside.csv"])
def test_nothing_is_written_outside_the_folder(name, files, tmp_path):
    path = write(tmp_path / "outside.zip", {**files, name: b"1"})
    with pytest.raises(UserError, match=r"outside\.csv"):
        verify(path)
    assert [each.name for each in tmp_path.iterdir()] == ["outside.zip"]


def test_a_capsule_too_large_is_not_unpacked(files, tmp_path, monkeypatch):
    monkeypatch.setattr("gallerist.capsule.verification.MAX_BYTES", 10_000)
    with pytest.raises(UserError, match="10000 may be unpacked"):
        verdict_of(tmp_path / "large.zip", files)


def test_what_is_no_capsule_is_refused_in_one_line(files, tmp_path, capsys):
    (tmp_path / "text.zip").write_text("nothing")
    without = {name: content for name, content in files.items() if name != "contents.json"}
    write(tmp_path / "without.zip", without)
    later = files["contents.json"].replace(b'"format": 1', b'"format": 2')
    write(tmp_path / "later.zip", {**files, "contents.json": later})
    for name in ("text.zip", "without.zip", "later.zip", "absent.zip"):
        assert main(["verify", str(tmp_path / name)]) == 1
        said = capsys.readouterr().err
        assert name in said
        assert len(said.splitlines()) == 1
        assert "Traceback" not in said


def test_the_status_says_whether_all_agrees(capsule, files, tmp_path, capsys):
    assert main(["verify", str(capsule)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all agrees"
    text = files["comparison/comparison.csv"].replace(b"good,", b"best,", 1)
    changed = {**files, "comparison/comparison.csv": text}
    path = write(tmp_path / "changed.zip", changed, fix_hashes=True)
    assert main(["verify", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "comparison/comparison.csv, line 2 (good), column experiment: stated best, recomputed good"
    )
    assert lines[-1] == "1 things do not agree"


def test_a_capsule_verifies_itself_with_numpy_and_scipy_alone(capsule, files, tmp_path):
    alone = run_alone(capsule)
    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout.splitlines()[-1] == "all agrees"
    text = files["comparison/metrics.csv"].decode()
    place = re.search(r"\d\n", text).start()
    changed = {**files, "comparison/metrics.csv": other_digit(text, place).encode()}
    wrong = run_alone(write(tmp_path / "changed.zip", changed, fix_hashes=True))
    assert wrong.returncode == 1
    assert wrong.stdout.startswith("comparison/metrics.csv, line 2 (good, top-1), column ")


def test_the_refusal_of_other_packages_works(files, tmp_path):
    start = b"import click\n"
    refused = run_alone(write(tmp_path / "click.zip", {**files, "__main__.py": start}))
    assert "click of site-packages was refused" in refused.stderr


def test_a_file_that_claims_to_be_smaller_does_no_harm(files, tmp_path):
    path = write(tmp_path / "damaged.zip", files)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("truth.csv").header_offset
    content[start + 60] ^= 255
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged\.zip"):
        verify(path)
