"""A packed experiment, loaded by MLflow in this process, and what it refuses."""

import base64
import json
import logging
import shutil
from pathlib import Path
from urllib.parse import quote

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from small_gallery import GALLERY_SIZE, HOG, ranked, small_gallery

from gallerist.io.errors import UserError
from gallerist.serving.gallery import SearchableGallery
from gallerist.serving.package import GALLERY, pack, save
from gallerist.workflow.experiments import NotSearchable


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    found = small_gallery(tmp_path_factory.mktemp("small") / "results")
    found.add_experiment("hog", [1] * 10)
    return found


@pytest.fixture(scope="module")
def model(small, tmp_path_factory):
    """The folder of a saved model."""
    folder = tmp_path_factory.mktemp("model")
    save(pack(small.results, small.config, "hog", folder / "packed"), folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def loaded(model):
    logger = logging.getLogger("gallerist")
    level = logger.level
    yield mlflow.pyfunc.load_model(str(model))
    logger.setLevel(level)  # which a served model raises, in its own process


@pytest.fixture
def copy(model, tmp_path):
    """The same model, to be changed."""
    shutil.copytree(model, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def anywhere(monkeypatch):
    """Paths are read wherever they are."""
    monkeypatch.setenv("GALLERIST_PICTURES", "/")


def contents(small):
    return [Path(path).read_bytes() for path in small.queries.paths]


def forms(small):
    """The queries in each form in which they can be given."""
    return {
        "path": small.queries.paths,
        "bytes": contents(small),
        "base64": [base64.b64encode(data).decode() for data in contents(small)],
    }


@pytest.mark.parametrize("form", ["path", "bytes", "base64"])
def test_the_answers_are_the_ranking_of_the_workflow_in_whatever_form_pictures_come(
    small, loaded, anywhere, form
):
    expected = ranked(small, 12)
    found = loaded.predict(pd.DataFrame({form: forms(small)[form]}), params={"answers": 12})
    assert [tuple(row) for row in found["ids"]] == list(expected.answers)
    assert [tuple(row) for row in found["distances"]] == list(expected.distances)
    for row in found.to_dict("records"):
        assert [name.partition("/")[0] for name in row["names"]] == row["labels"]


def test_answers_are_sure_below_the_threshold_and_unknown_without_one(
    small, loaded, anywhere, tmp_path
):
    found = loaded.predict(pd.DataFrame({"path": small.queries.paths}))
    assert set(found["sure"]) == {"unknown"}
    nearest = [row[0] for row in ranked(small, 1).distances]
    below = round(sorted(nearest)[len(nearest) // 2], 9)  # as a ranking's file has it
    small.add_threshold("hog", below)
    packed = pack(small.results, small.config, "hog", tmp_path)
    small.add_threshold("hog", None)
    gallery = SearchableGallery(packed.folder / GALLERY)
    answers = gallery.rank([{"path": path} for path in small.queries.paths], 2)
    assert [each.sure for each in answers] == [
        "yes" if round(distance, 9) < below else "no" for distance in nearest
    ]


def test_forms_can_be_mixed_and_ten_answers_are_given_unless_asked(small, loaded, anywhere):
    path, data = small.queries.paths[0], contents(small)[1]
    mixed = pd.DataFrame({"path": [path, None], "bytes": [None, data]})
    found = loaded.predict(mixed)
    expected = ranked(small, 10)
    assert [tuple(row) for row in found["ids"]] == list(expected.answers[:2])
    assert {len(row) for row in found["names"]} == {10}


def test_a_picture_of_the_gallery_is_no_answer_to_itself_and_twice_the_same_is_answered_twice(
    small, loaded
):
    pictures = small.results.path("manifests/gallery.csv").read_text().splitlines()
    identifier, path = pictures[1].split(",")[:2]
    twice = pd.DataFrame({"bytes": [Path(path).read_bytes()] * 2})
    found = loaded.predict(twice, params={"answers": 100})
    assert [len(row) for row in found["ids"]] == [GALLERY_SIZE - 1] * 2
    assert identifier not in found["ids"][0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"base64": "no base64!"}, r"picture 2 \(base64\): not base64"),
        ({"base64": base64.b64encode(b"some text").decode()}, r"picture 2 \(base64\): not an im"),
        ({"bytes": b"\x89PNG\r\n\x1a\n cut"}, r"picture 2 \(bytes\): .*PNG"),
        ({"path": "nowhere.png"}, r"picture 2 \(path\): no such file"),
        ({"path": "/etc/hostname"}, r"picture 2 \(path\): .* outside the folder .*GALLERIST_PIC"),
        ({"path": "../../x.png"}, r"picture 2 \(path\): .* outside the folder"),
        (
            {"path": "a.png", "base64": "QQ=="},
            "picture 2 is given by path and base64; it takes one",
        ),
        ({}, "picture 2 is given by nothing; it takes one of path, bytes, base64"),
    ],
)
def test_what_is_no_picture_is_named(small, loaded, row, message, tmp_path, monkeypatch):
    monkeypatch.setenv("GALLERIST_PICTURES", str(tmp_path))
    with pytest.raises(MlflowException, match=message) as refused:
        loaded.predict(pd.DataFrame([{"bytes": contents(small)[0]}, row]))
    assert refused.value.get_http_status_code() == 400


def asked(loaded, request):
    """The status and the body of MLflow's server for a request in JSON."""
    schema = loaded.metadata.get_input_schema()
    try:
        found = scoring_server.invocations(json.dumps(request), "application/json", loaded, schema)
    except MlflowException as error:
        return error.get_http_status_code(), json.loads(error.serialize_as_json())
    return found.status, json.loads(found.response)


def in_lines(text):
    return "\r\n".join(text[start : start + 76] for start in range(0, len(text), 76))


FORMS_OF_BASE64 = {
    "plain": lambda text: text,
    "in lines": in_lines,
    "with blanks around it": lambda text: f"  {text}\n",
    "as in a URL": lambda text: text.replace("+", "-").replace("/", "_").rstrip("="),
    "a data: address": lambda text: f"data:image/png;base64,{text}",
    "one for a URL": lambda text: "DATA:image/png;charset=x;base64," + quote(text, safe=""),
    "one without base64": lambda text: "data:image/png," + quote(base64.b64decode(text), safe=""),
}
REQUESTS = {
    "dataframe_records": lambda texts: {"dataframe_records": [{"base64": each} for each in texts]},
    "dataframe_split": lambda texts: {
        "dataframe_split": {"columns": ["base64"], "data": [[each] for each in texts]}
    },
    "inputs in columns": lambda texts: {"inputs": {"base64": texts}},
    "inputs in rows": lambda texts: {"inputs": [{"base64": each} for each in texts]},
    "instances": lambda texts: {"instances": [{"base64": each} for each in texts]},
}


@pytest.mark.parametrize("form", FORMS_OF_BASE64)
@pytest.mark.parametrize("request_form", ["dataframe_records", "inputs in columns"])
def test_base64_is_read_as_browsers_and_mails_have_it(small, loaded, form, request_form):
    text = FORMS_OF_BASE64[form](base64.b64encode(contents(small)[0]).decode())
    status, body = asked(loaded, REQUESTS[request_form]([text]))
    assert status == 200
    assert [tuple(each["ids"]) for each in body["predictions"]] == [ranked(small, 10).answers[0]]


@pytest.mark.parametrize("form", REQUESTS)
@pytest.mark.parametrize("count", [1, 3])
def test_every_form_of_a_request_is_answered_row_by_row(small, loaded, form, count):
    texts = [base64.b64encode(data).decode() for data in contents(small)[:count]]
    status, body = asked(loaded, REQUESTS[form](texts))
    assert status == 200
    found = [tuple(each["ids"]) for each in body["predictions"]]
    assert found == list(ranked(small, 10).answers[:count])


def test_bytes_over_http_stand_beside_other_columns(small, loaded):
    one, other = (base64.b64encode(data).decode() for data in contents(small)[:2])
    status, body = asked(loaded, {"dataframe_records": [{"bytes": one}, {"base64": other}]})
    assert status == 200
    found = [tuple(each["ids"]) for each in body["predictions"]]
    assert found == list(ranked(small, 10).answers[:2])


NO_PICTURE = "the request has no picture: give rows with one of the columns path, bytes, base64"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"dataframe_records": [{"picture": "QUJD"}]}, NO_PICTURE),
        ({"dataframe_split": {"columns": ["image"], "data": [["QUJD"]]}}, NO_PICTURE),
        ({"dataframe_split": {"data": [["QUJD"]]}}, NO_PICTURE),
        ({"inputs": ["QUJD"]}, NO_PICTURE),
        ({"inputs": "QUJD"}, NO_PICTURE),
        ({"instances": ["QUJD"]}, NO_PICTURE),
        ({"dataframe_records": []}, NO_PICTURE),
        ({"dataframe_records": [{}]}, NO_PICTURE),
        ({"dataframe_records": [{"base64": 5}]}, "picture 1 (base64): 5 is no base64"),
        ({"dataframe_records": [{"base64": True}]}, "picture 1 (base64): True is no base64"),
        ({"dataframe_records": [{"base64": {"a": 1}}]}, "picture 1 (base64): {'a': 1} is no"),
        ({"dataframe_records": [{"bytes": 5}]}, "picture 1 (bytes): 5 is no bytes"),
        ({"dataframe_records": [{"path": 5}]}, "picture 1 (path): 5 is no path"),
        ({"dataframe_records": [{"path": "a\0b"}]}, "is no path: embedded null byte"),
        ({"inputs": {"base64": [5]}}, "picture 1 (base64): 5 is no base64"),
        ({"dataframe_records": [{"base64": "data:image/png;base64,%%"}]}, "not base64"),
        ({"dataframe_records": [{"base64": "data:,"}]}, "empty file"),
        ({"dataframe_records": [{"base64": None}]}, "picture 1 is given by nothing"),
    ],
)
def test_a_request_without_a_picture_is_answered_400_with_one_reason(loaded, request_, reason):
    status, body = asked(loaded, request_)
    assert status == 400
    assert reason in body["message"]
    assert "stack_trace" not in body
    assert "Traceback" not in body["message"]


def test_fewer_than_one_answer_is_refused(small, loaded):
    with pytest.raises(MlflowException, match="answers is 0; it is at least 1"):
        loaded.predict(pd.DataFrame({"bytes": contents(small)[:1]}), params={"answers": 0})


CHANGED = {
    "the gallery's vectors": "artifacts/gallery/features/hog/gallery.npy",
    "the names": "artifacts/gallery/manifests/gallery.csv",
    "the settings": "artifacts/gallery/searchable.json",
    "the code": "code/gallerist/search/exact.py",
    "the entry": "pyfunc.py",
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_changed_file_is_refused_and_named(copy, what):
    file = copy / CHANGED[what]
    changed = bytearray(file.read_bytes())
    # The entry goes on running: one more byte is enough.
    changed = changed + b"\n" if what == "the entry" else changed[:-1] + bytes([changed[-1] ^ 1])
    file.write_bytes(changed)
    with pytest.raises(RuntimeError, match=rf"{file.name} has changed since .* register it again"):
        mlflow.pyfunc.load_model(str(copy))


def test_a_missing_file_and_one_too_many_are_refused(copy):
    stranger = copy / "code/gallerist/numpy.py"
    stranger.write_text("")
    with pytest.raises(RuntimeError, match=r"numpy\.py does not belong to the registered model"):
        mlflow.pyfunc.load_model(str(copy))
    stranger.unlink()
    (copy / "artifacts/gallery/evaluation/queries.csv").unlink()
    with pytest.raises(RuntimeError, match=r"queries\.csv of the registered model is missing"):
        mlflow.pyfunc.load_model(str(copy))


def test_a_model_is_code_and_data_without_any_pickle(model):
    flavour = mlflow.models.Model.load(str(model)).flavors["python_function"]
    assert flavour["loader_module"] == "mlflow.pyfunc.loaders.code_model"
    assert "python_model" not in flavour
    files = (file for file in model.rglob("*") if file.is_file())
    # Python leaves a cache where the model has been loaded.
    kinds = {file.suffix for file in files if "__pycache__" not in file.parts}
    assert kinds == {"", ".py", ".json", ".csv", ".npy", ".txt", ".yaml"}


def test_a_model_says_what_it_takes_gives_needs_and_may_be_used_for(small, model):
    found = mlflow.models.Model.load(str(model))
    assert found.signature.inputs.input_names() == ["path", "bytes", "base64"]
    assert found.signature.inputs.required_input_names() == []
    assert found.signature.outputs.input_names() == ["names", "labels", "ids", "distances", "sure"]
    assert found.metadata["query_digest"] == small.queries.digest
    assert found.metadata["licences"]["code"] == "MIT"
    lines = (model / "requirements.txt").read_text().split()
    named = {line.partition("==")[0] for line in lines}
    assert {"mlflow", "numpy", "opencv-python-headless", "pillow", "scikit-image"} <= named
    assert not named & {"tensorflow", "keras", "openvino", "faiss-cpu", "snakemake", "matplotlib"}
    assert all("==" in line for line in lines)


def test_the_example_can_be_asked(model, loaded):
    example = json.loads((model / "serving_input_example.json").read_text())["dataframe_split"]
    found = loaded.predict(pd.DataFrame(example["data"], columns=example["columns"]))
    assert len(found["names"][0]) == 10


def test_packing_twice_gives_one_digest_and_other_settings_another(small, tmp_path):
    first, again = (
        pack(small.results, small.config, "hog", tmp_path / name) for name in ("a", "b")
    )
    assert first.digest == again.digest
    other = {**small.config, "search": {"depth": 6}}
    assert pack(small.results, other, "hog", tmp_path / "c").digest != first.digest


def test_what_cannot_rank_one_picture_is_no_model(small, tmp_path):
    settings = {**HOG, "k_reciprocal": {"k1": 3}}
    config = {**small.config, "experiments": {"hog": settings}}
    with pytest.raises(NotSearchable, match="hog orders its answers again by k_reciprocal"):
        pack(small.results, config, "hog", tmp_path)


def test_what_has_not_been_run_is_named(small, tmp_path):
    config = {**small.config, "experiments": {"other": HOG}}
    with pytest.raises(UserError, match=r"features/other/gallery\.npy is not there yet"):
        pack(small.results, config, "other", tmp_path)
