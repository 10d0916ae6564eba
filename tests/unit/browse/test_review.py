"""What is said of pictures: kept as corrections, and nothing else is changed."""

from dataclasses import replace

import pytest
import yaml
from browsed import doubted
from looking import client_of

from gallerist.browse.data_sets import DOUBTS
from gallerist.data.corrections import Correction, read_corrections
from gallerist.evaluation.doubtful_labels import write_doubts


@pytest.fixture
def client(own):
    with client_of(own) as found:
        yield found


@pytest.fixture
def file(own):
    return own.root.parent / "corrections/small.csv"


def said(picture, action="bad", value="", note=""):
    return {"picture": picture, "action": action, "value": value, "note": note}


def test_what_is_said_is_written_replaced_and_taken_back(client, own, file):
    one, other = own.queries.ids[0], own.gallery.ids[0]
    for body in (said(one, "label", "cat"), said(other), said(one, "label", "", "or a dog?")):
        assert client.post("/api/small/corrections", json=body).status_code == 200
    assert set(read_corrections(file)) == {
        Correction(one, "label", "", "or a dog?"),
        Correction(other, "bad"),
    }
    client.post("/api/small/corrections/remove", json=said(one, "label"))
    assert read_corrections(file) == (Correction(other, "bad"),)


def test_a_pair_that_is_judged_again_is_judged_once(client, own, file):
    one = own.queries.ids[0]
    for value in (f"query:{one}", f"no:{one}"):
        client.post("/api/small/corrections", json=said(one, "leak", value))
    assert read_corrections(file) == (Correction(one, "leak", f"no:{one}"),)


def test_what_was_said_is_shown_with_its_pictures(client, own):
    picture = own.gallery.pictures[1]
    shown = client.post("/api/small/corrections", json=said(picture.id, note="<b>blurred")).json()
    assert shown == client.get("/api/small/corrections").json()
    (one,) = shown["corrections"]
    assert one["note"] == "<b>blurred"
    assert one["shown"]["label"] == picture.label
    assert not shown["configured"]


def test_a_note_of_several_lines_becomes_one(client, own, file):
    client.post("/api/small/corrections", json=said(own.gallery.ids[0], note="a\n\tb\r\n c"))
    assert read_corrections(file)[0].note == "a b c"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"picture": "0" * 16}, 404),
        ({"picture": "../../etc/passwd"}, 404),
        ({"picture": "x" * 65}, 422),
        ({"action": "delete"}, 400),
        ({"action": "leak", "value": "query"}, 400),
        ({"action": "leak", "value": "elsewhere:abc"}, 400),
        ({"action": "label", "value": "cat\nabc,bad,,"}, 400),
        ({"action": "label", "value": "x" * 256}, 422),
        ({"note": "x" * 501}, 422),
        ({"value": "cat"}, 400),
        ({"more": "keys"}, 422),
    ],
)
def test_what_cannot_be_a_correction_is_refused_and_writes_nothing(
    client, own, file, change, status
):
    body = {**said(own.queries.ids[0]), **change}
    found = client.post("/api/small/corrections", json=body)
    assert found.status_code == status
    assert found.json()["error"]
    assert not file.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b'"text"'])
def test_what_is_no_object_is_refused(client, body):
    assert client.post("/api/small/corrections", content=body).status_code == 422


def test_a_damaged_file_is_named_and_left_as_it_is(client, own, file):
    file.parent.mkdir()
    file.write_text("picture,action,value,note\nabc,rotten,,\n")
    found = client.post("/api/small/corrections", json=said(own.queries.ids[0]))
    assert found.status_code == 400
    assert "line 2" in found.json()["error"]
    assert "rotten" in file.read_text()


def test_the_file_that_the_configuration_names_is_written(own, tmp_path):
    path = own.folder / "origin/0123456789abcdef/config.yaml"
    config = yaml.safe_load(path.read_text())
    config["dataset"]["corrections"] = str(tmp_path / "mine.csv")
    path.write_text(yaml.safe_dump(config))
    with client_of(own) as client:
        shown = client.post("/api/small/corrections", json=said(own.queries.ids[0])).json()
    assert shown["configured"]
    assert read_corrections(tmp_path / "mine.csv") == (Correction(own.queries.ids[0], "bad"),)


def test_the_leaks_are_those_of_the_report_with_their_pictures(client, own):
    found = client.get("/api/small/leaks").json()
    assert found["total"] == len(found["pairs"]) == 1
    (pair,) = found["pairs"]
    leaked = own.queries.ids[0]
    assert pair["kind"] == "exact"
    assert (pair["left"]["id"], pair["left"]["part"]) == (leaked, "training")
    assert (pair["kept"]["id"], pair["kept"]["part"]) == (leaked, "query")


def test_doubtful_labels_are_shown_with_the_nearest_pictures(client, own):
    found = client.get("/api/small/doubts").json()
    assert found["total"] == len(found["doubts"]) == 3
    first, expected = found["doubts"][0], doubted(own)[0]
    assert first["picture"]["id"] == own.queries.ids[0] == expected.picture
    assert (first["suggested"], first["probability"]) == (expected.suggested, 0.9)
    assert [each["id"] for each in first["neighbours"]] == [*expected.neighbours[:5]]


def test_a_doubtful_picture_that_is_gone_is_left_out(client, own):
    write_doubts(own.folder / DOUBTS, [replace(doubted(own)[0], picture="0" * 16)])
    assert client.get("/api/small/doubts").json() == {"total": 1, "doubts": []}


def test_results_of_a_run_that_doubted_nothing_have_no_doubts(client, own):
    (own.folder / DOUBTS).unlink()
    assert client.get("/api/small/doubts").json() == {"total": 0, "doubts": []}
    assert client.get("/api/small/overview").status_code == 200
