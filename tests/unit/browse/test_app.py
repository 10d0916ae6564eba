"""The routes of the page: what they show is what the results say."""

import csv
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from browsed import CLASSES, DOMAINS, EXPERIMENTS, HOSTILE, MAX_PIXELS, NAMES
from looking import client_of
from PIL import Image
from tracked import a_record

from gallerist.evaluation.tables import read_queries
from gallerist.evaluation.threshold import Promise, Threshold
from gallerist.io.files import read_json, sha256_of_file, write_json, write_text
from gallerist.records.record import write_record
from gallerist.search.geometric_verification import SMALLEST_AGREEMENT
from gallerist.search.ranking import Ranking
from gallerist.serving.query import search_file
from gallerist.workflow.results import Results


def test_the_index_names_the_data_set(client):
    (found,) = client.get("/api/index").json()["data_sets"]
    assert found["name"] == "small"
    assert (found["experiments"], found["queries"], found["gallery"]) == (2, 12, 18)


def test_the_overview_has_the_metrics_as_they_were_written(client, finished):
    found = client.get("/api/small/overview").json()
    assert [each["name"] for each in found["experiments"]] == list(EXPERIMENTS)
    for each in found["experiments"]:
        path = finished.folder / f"evaluation/{each['name']}/metrics.json"
        assert each["metrics"] == json.loads(path.read_text())["metrics"]
        assert each["refusal"] is None


def test_the_best_experiment_and_what_it_surpasses_are_those_of_the_table(client, finished):
    found = client.get("/api/small/overview").json()["verdict"]
    with (finished.folder / "comparison/comparison.csv").open() as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    best = max(rows, key=lambda name: float(rows[name]["top-1"]))
    assert found["best"] == best
    assert found["surpasses"] == rows[best]["really better than"].split()
    assert len(found["surpasses"]) + len(found["unsure"]) == len(rows) - 1


def test_the_table_of_queries_agrees_with_the_ranking_and_the_scores(client, finished):
    table = client.get("/api/small/queries").json()
    assert table["ids"] == finished.queries.ids
    assert [table["classes"][label] for label in table["labels"]] == finished.queries.labels
    labels = finished.gallery.label_of
    for name, columns in table["experiments"].items():
        ranking = Ranking.read(finished.folder / f"rankings/{name}.csv")
        scores = read_queries(finished.folder / f"evaluation/{name}/queries.csv")
        for row, query in enumerate(table["ids"]):
            own = finished.queries.label_of[query]
            answers = [labels[answer] for answer in ranking.answers[row]]
            assert columns["first"][row] == answers.index(own) + 1
            assert table["classes"][columns["answered"][row]] == answers[0]
            wrong = next(place for place, label in enumerate(answers) if label != own)
            expected = ranking.distances[row][wrong] if wrong < 10 else None
            assert columns["wrong"][row] == pytest.approx(expected, abs=1e-4)
            reached = scores.values["mAP"][scores.queries.index(query)]
            assert columns["score"][row] == pytest.approx(reached, abs=1e-4)


@pytest.mark.parametrize("skipped", [0, 7, 17, 40])
def test_the_answers_to_a_query_are_those_of_the_ranking(client, finished, skipped):
    for row, query in enumerate(finished.queries.ids):
        asked = [("experiment", name) for name in EXPERIMENTS] + [("skipped", skipped)]
        found = client.get(f"/api/small/query/{query}", params=asked).json()
        for name, answers in found["answers"].items():
            ranking = Ranking.read(finished.folder / f"rankings/{name}.csv")
            expected = ranking.answers[row][skipped : skipped + 10]
            assert [answer["id"] for answer in answers] == list(expected)
            assert [answer["rank"] for answer in answers] == [
                skipped + place for place in range(1, len(expected) + 1)
            ]
            own = found["query"]["label"]
            assert all(answer["relevant"] == (answer["label"] == own) for answer in answers)
    assert found["relevant"] == 6


def test_a_thumbnail_is_made_once_kept_and_no_larger_than_it_should_be(client, finished):
    picture = finished.gallery.pictures[3]
    first = client.get(f"/thumbnails/small/{picture.id}.jpg")
    kept = finished.folder / f"thumbnails/{picture.id[:2]}/{picture.id}.jpg"
    assert first.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(first.content)) as image:
        assert image.size == (80, 60)
    time = kept.stat().st_mtime_ns
    assert client.get(f"/thumbnails/small/{picture.id}.jpg").content == kept.read_bytes()
    assert kept.stat().st_mtime_ns == time


def test_a_whole_picture_is_the_file(client, finished):
    picture = finished.queries.pictures[1]
    found = client.get(f"/pictures/small/{picture.id}")
    assert found.content == Path(picture.path).read_bytes()
    assert found.headers["content-type"] == "image/png"


def test_an_experiment_shows_its_settings_classes_and_figures(client, finished):
    found = client.get("/api/small/experiment/hog").json()
    assert found["settings"] == EXPERIMENTS["hog"]
    assert {row[0] for row in found["classes"]["rows"]} == set(CLASSES)
    assert [figure["file"] for figure in found["figures"]] == ["classes.png"]
    drawn = client.get("/figures/small/hog/classes.png")
    assert drawn.content == (finished.folder / "evaluation/hog/classes.png").read_bytes()


def test_a_picture_that_is_sent_is_ranked_as_the_command_ranks_it(client, finished, tmp_path):
    for number in range(5):
        path = tmp_path / f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        upload = client.post("/api/uploads", content=path.read_bytes()).json()
        assert (upload["width"], upload["height"]) == (50, 40)
        for name in EXPERIMENTS:
            found = client.get(f"/api/small/search/{name}", params={"upload": upload["id"]}).json()
            label, answers = search_file(
                Results(finished.folder),
                name,
                EXPERIMENTS,
                path,
                10,
                threads=1,
                max_pixels=MAX_PIXELS,
            )
            assert found["label"] is label is None
            assert [(a["id"], a["rank"], a["relevant"]) for a in found["answers"]] == [
                (a.picture.id, a.rank, None) for a in answers
            ]


def test_a_query_searched_again_gives_the_ranking_of_the_workflow(client, finished):
    for row, query in enumerate(finished.queries.ids):
        found = client.get("/api/small/search/hog", params={"picture": query}).json()
        ranking = Ranking.read(finished.folder / "rankings/hog.csv")
        assert [answer["id"] for answer in found["answers"]] == list(ranking.answers[row][:10])
        assert found["label"] == finished.queries.pictures[row].label


def test_nothing_in_the_gallery_is_said_where_the_threshold_says_so(own):
    rankings = Ranking.read(own.folder / "rankings/hog.csv")
    nearest = [row[0] for row in rankings.distances]
    threshold = Threshold(sorted(nearest)[6], Promise(0.05, 0.95, 0.5), 200)
    path = own.folder / "evaluation/hog/metrics.json"
    write_json(path, read_json(path) | {"abstaining": threshold.as_json()})
    with client_of(own) as client:
        for query, distance in zip(own.queries.ids, nearest, strict=True):
            asked = [("experiment", name) for name in EXPERIMENTS]
            found = client.get(f"/api/small/query/{query}", params=asked).json()
            expected = threshold.refuses(distance)
            assert found["nothing"] == ({"hog": expected} if expected else {})
            again = client.get("/api/small/search/hog", params={"picture": query}).json()
            assert (again["nothing"] is None) == (expected is None)
        assert client.get("/api/small/experiment/hog").json()["threshold"] == str(threshold)
        assert client.get("/api/small/experiment/colour").json()["threshold"] is None


def test_an_answer_can_be_the_next_query_and_is_no_answer_to_itself(client, finished):
    picture = finished.gallery.pictures[0]
    found = client.get("/api/small/search/colour", params={"picture": picture.id}).json()
    assert picture.id not in [answer["id"] for answer in found["answers"]]
    assert found["label"] == picture.label


def test_a_region_is_cut_out_of_the_picture_itself(client, finished):
    picture = finished.queries.pictures[2]
    body = {"data_set": "small", "picture": picture.id, "box": [0.25, 0.5, 0.75, 1]}
    region = client.post("/api/regions", json=body).json()
    assert (region["width"], region["height"]) == (40, 30)
    whole = np.asarray(Image.open(picture.path))
    found = client.app.state.site.uploads.get(region["id"]).path
    assert np.array_equal(np.asarray(Image.open(found)), whole[30:60, 20:60])
    again = {"picture": region["id"], "box": [0, 0, 0.01, 1]}
    assert client.post("/api/regions", json=again).status_code == 400


def test_matched_key_points_lie_within_both_pictures(client, finished):
    query = finished.queries.ids[0]
    answer = finished.gallery.ids[0]
    found = client.get(f"/api/small/matches/hog/{query}/{answer}").json()
    assert found["agreeing"] <= found["matched"]
    assert len(found["lines"]) <= found["matched"]
    assert all(0 <= share <= 1 for line in found["lines"] for share in line[:4])


def test_a_picture_matches_itself_at_the_same_places(client, finished):
    query = finished.queries.ids[0]
    found = client.get(f"/api/small/matches/hog/{query}/{query}").json()
    assert found["agreeing"] == found["matched"] >= SMALLEST_AGREEMENT
    assert all(line[:2] == line[2:4] and line[4] for line in found["lines"])


def test_what_has_no_network_has_no_heat_map(client, finished):
    pair = f"{finished.queries.ids[0]}/{finished.gallery.ids[0]}"
    found = client.get(f"/api/small/heat/hog/{pair}")
    assert found.status_code == 400
    assert "no network of its own" in found.json()["error"]


def test_queries_have_their_domains_and_an_experiment_its_figures_by_domain(client, own):
    table = client.get("/api/small/queries").json()
    assert table["domains"] == [*DOMAINS] * 4
    found = client.get("/api/small/experiment/hog").json()["domains"]
    place = found["columns"].index("MRR")
    score = table["experiments"]["hog"]["score"]
    assert found["columns"][:2] == ["domain", "queries"]
    assert [row[:2] for row in found["rows"]] == [[DOMAINS[1], "4"], [DOMAINS[0], "8"]]
    assert len(score) == 12
    assert 0 < float(found["rows"][0][place]) <= 1
    with client_of(own) as without:
        assert "domains" not in without.get("/api/small/queries").json()
        page = without.get("/api/small/experiment/hog").json()
        assert page["domains"] == {"columns": [], "rows": []}


def test_results_that_a_run_changes_are_read_anew(own):
    with client_of(own) as client:
        before = client.get("/api/small/queries").json()
        path = own.folder / "evaluation/hog/queries.csv"
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(lines[:5]) + "\n", encoding="utf-8")
        after = client.get("/api/small/queries").json()
    assert before["experiments"]["hog"]["first"].count(-1) == 0
    assert after["experiments"]["hog"]["first"].count(-1) == 8


def test_a_picture_that_is_gone_is_named(own):
    picture = own.gallery.pictures[0]
    Path(picture.path).write_bytes(b"")
    with client_of(own) as client:
        for address in (f"/thumbnails/small/{picture.id}.jpg", f"/pictures/small/{picture.id}"):
            found = client.get(address)
            assert found.status_code == 415
            assert "empty file" in found.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/nothing/overview",
        "/api/small/experiment/nothing",
        "/api/small/query/0000000000000000",
        "/api/small/picture/nothing",
        "/api/small/other/hog/a/b",
        "/thumbnails/small/nothing.jpg",
        "/figures/small/hog/queries.csv",
        "/figures/small/hog/experiment.record.json",
        "/page/nothing.js",
        "/uploads/nothing.jpg",
        "/docs",
        "/openapi.json",
    ],
)
def test_what_is_not_there_is_not_found(client, path):
    found = client.get(path)
    assert found.status_code == 404
    assert found.json()["error"]


@pytest.mark.parametrize(
    "query", ["count=0", "count=51", "count=x", "count=1e9", "skipped=-1", "skipped=" + "9" * 40]
)
def test_a_number_that_is_none_is_refused(client, finished, query):
    found = client.get(f"/api/small/query/{finished.queries.ids[0]}?experiment=hog&{query}")
    assert found.status_code == 400
    assert "whole number" in found.json()["error"]


def test_names_come_as_they_are_and_as_json_alone(client):
    found = client.get("/api/small/queries")
    assert found.headers["content-type"] == "application/json"
    assert {f"{name}.png" for name in NAMES} <= set(found.json()["names"])
    assert HOSTILE in found.json()["classes"]


@pytest.mark.parametrize(
    ("file", "address"),
    [
        ("evaluation/{name}/classes.csv", "experiment/{name}"),
        ("evaluation/{name}/queries.csv", "queries"),
        ("evaluation/{name}/answers.csv", "queries"),
        ("evaluation/{name}/curves.csv", "overview"),
        ("evaluation/{name}/metrics.json", "overview"),
        ("reports/faults/gallery.csv", "overview"),
    ],
)
def test_one_changed_digit_of_a_result_is_not_shown_but_named(own, file, address):
    """Its time is kept, as a program that only looks at times would miss it."""
    name = next(iter(EXPERIMENTS))
    faults = own.folder / "reports/faults/gallery.csv"
    write_text(faults, "path,severity,reason\na.png,skipped,1 byte\n")
    file = file.format(name=name)
    path = own.folder / file
    made = {f"results/small/{file}": sha256_of_file(path)}
    write_record(path.with_name("made.record.json"), a_record("small", made=made))
    place = f"/api/small/{address.format(name=name)}"
    with client_of(own) as client:
        assert client.get(place).status_code == 200
    status, text = path.stat(), path.read_text()
    digit = [*re.finditer(r"\d", text)][-1]
    path.write_text(f"{text[: digit.start()]}{(int(digit[0]) + 1) % 10}{text[digit.end() :]}")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with client_of(own) as client:
        answer = client.get(place)
    assert answer.status_code != 200
    assert f"{path.name} is not the file that its job made" in answer.json()["error"]
