"""The page on the results of a real run, with networks."""

import base64
import io

import pytest
from looking import client_of
from PIL import Image
from tiny_workflow import CONFIG

from gallerist.data.manifest import Manifest
from gallerist.search.ranking import Ranking

EXPERIMENTS = list(CONFIG["experiments"])


@pytest.fixture(scope="module")
def client(finished_workflow):
    """Asks for the results of the run, where the paths in their manifests lead to its pictures."""

    class Results:
        root = finished_workflow.folder / "results"

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished_workflow.folder)
        with client_of(Results) as found:
            yield found


@pytest.fixture(scope="module")
def rankings(finished_workflow):
    folder = finished_workflow.results / "rankings"
    return {name: Ranking.read(folder / f"{name}.csv") for name in EXPERIMENTS}


def test_every_page_of_the_run_is_there(client, finished_workflow):
    found = client.get("/api/tiny/overview").json()
    assert [each["name"] for each in found["experiments"]] == EXPERIMENTS
    assert {each["kind"] for each in found["experiments"]} == {"network"}
    assert [each["refusal"] for each in found["experiments"]] == [None, None]
    for name in EXPERIMENTS:
        page = client.get(f"/api/tiny/experiment/{name}").json()
        assert page["settings"]["epochs"] == CONFIG["experiments"][name]["epochs"]
        for figure in page["figures"]:
            drawn = client.get(f"/figures/tiny/{name}/{figure['file']}")
            original = finished_workflow.results / f"evaluation/{name}/{figure['file']}"
            assert drawn.content == original.read_bytes()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_query_that_is_dropped_is_ranked_as_the_workflow_ranked_it(
    client, finished_workflow, rankings, name
):
    queries = Manifest.read(finished_workflow.results / "manifests/query.csv")
    for row, query in enumerate(queries):
        data = (finished_workflow.folder / query.path).read_bytes()
        upload = client.post("/api/uploads", content=data).json()["id"]
        found = client.get(f"/api/tiny/search/{name}", params={"upload": upload}).json()
        assert [each["id"] for each in found["answers"]] == list(rankings[name].answers[row])
        assert found["label"] == query.label


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_heat_map_is_of_the_pair_that_was_ranked(client, rankings, name):
    """Its cosine is 1 minus the distance of the ranking."""
    ranking = rankings[name]
    query, answer = ranking.query_ids[0], ranking.answers[0][1]
    found = client.get(f"/api/tiny/heat/{name}/{query}/{answer}").json()
    assert found["cosine"] == pytest.approx(1 - ranking.distances[0][1], abs=2e-3)
    for side in ("query", "answer"):
        kind, _, data = found[side].partition(";base64,")
        assert kind == "data:image/jpeg"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.size == (32, 32)
