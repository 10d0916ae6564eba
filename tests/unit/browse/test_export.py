"""The page as a folder: what is in it, and what it does not touch."""

import json
import re

import pytest
from browsed import EXPERIMENTS

from gallerist.browse import export
from gallerist.browse.app import PAGE
from gallerist.browse.doubts import shown_doubts
from gallerist.browse.export import bundle, export_page
from gallerist.browse.query_table import query_table
from gallerist.browse.site import Site
from gallerist.io.errors import UserError


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory):
    target = tmp_path_factory.mktemp("exported") / "page"
    assert export_page(finished.root, target) == target / "index.html"
    return target


def value_of(file):
    """What a script of the folder gives to the page."""
    text = file.read_text(encoding="utf-8").strip()
    path, value = json.loads(f"[{text.removeprefix('gallerist(').removesuffix(');')}]")
    return path, value


def test_every_query_is_there_with_all_its_answers(folder, finished):
    for query in finished.queries.ids:
        path, found = value_of(folder / f"data/small/query/{query}.js")
        assert path == f"small/query/{query}"
        assert set(found["answers"]) == set(EXPERIMENTS)
        for answers in found["answers"].values():
            assert len(answers) == 10
            for answer in answers:
                assert (folder / f"thumbnails/small/{answer['id']}.jpg").is_file()
        assert (folder / f"thumbnails/small/{query}.jpg").is_file()


def test_the_data_are_those_that_the_server_gives(folder, finished):
    site = Site(finished.root)
    assert value_of(folder / "data/index.js")[1] == site.index()
    table = query_table(site.data_sets.get("small"))
    assert value_of(folder / "data/small/queries.js")[1] == json.loads(json.dumps(table))
    doubts = json.loads(json.dumps(shown_doubts(site.data_sets.get("small"))))
    assert value_of(folder / "data/small/doubts.js")[1] == doubts
    for doubt in doubts["doubts"]:
        for each in (doubt["picture"], *doubt["neighbours"]):
            assert (folder / f"thumbnails/small/{each['id']}.jpg").is_file()


def test_nothing_in_the_folder_comes_from_elsewhere(folder):
    index = (folder / "index.html").read_text(encoding="utf-8")
    for target in re.findall(r'(?:src|href)="([^"#]+)"', index):
        assert (folder / target).is_file(), target
    assert "module" not in index
    script = (folder / "page/gallerist.js").read_text(encoding="utf-8")
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)


def test_every_module_of_the_page_is_in_the_script():
    script = bundle(PAGE)
    for path in PAGE.glob("*.js"):
        assert script.count(f'modules["{path.name}"] = ') == 1, path.name


def test_an_earlier_export_is_replaced(folder, finished):
    (folder / "data/old.js").write_text("old")
    export_page(finished.root, folder)
    assert not (folder / "data/old.js").exists()
    assert (folder / "index.html").is_file()


def test_a_folder_with_other_files_is_left_alone(finished, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds other files: name a new folder"):
        export_page(finished.root, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    with pytest.raises(UserError, match="is a file"):
        export_page(finished.root, tmp_path / "thesis.tex")


def test_results_that_are_not_there_are_named(tmp_path):
    with pytest.raises(UserError, match="no compared experiments yet"):
        export_page(tmp_path / "results", tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_of_many_queries_the_worst_and_some_of_all_others_are_shown(
    finished, tmp_path, monkeypatch
):
    monkeypatch.setattr(export, "SHOWN", 6)
    export_page(finished.root, tmp_path / "page")
    table = value_of(tmp_path / "page/data/small/queries.js")[1]
    assert len(table["ids"]) == 12
    assert len(table["shown"]) == 6
    total = [sum(each["score"][row] for each in table["experiments"].values()) for row in range(12)]
    worst = sorted(range(12), key=total.__getitem__)[:3]
    assert set(worst) <= set(table["shown"])
    files = {path.stem for path in (tmp_path / "page/data/small/query").iterdir()}
    assert files == {table["ids"][row] for row in table["shown"]}


def test_a_picture_that_is_gone_is_left_out(own, tmp_path):
    from pathlib import Path

    gone = own.queries.pictures[2]
    Path(gone.path).unlink()
    export_page(own.root, tmp_path / "page")
    assert not (tmp_path / f"page/thumbnails/small/{gone.id}.jpg").exists()
    assert (tmp_path / "page/index.html").is_file()
