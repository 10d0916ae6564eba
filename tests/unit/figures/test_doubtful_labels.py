"""Doubtful labels as they are listed and drawn, from files of several experiments."""

import numpy as np
import pytest
from PIL import Image

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.doubtful_labels import read_doubts
from gallerist.features.store import FeatureSource, write_features
from gallerist.figures.doubtful_labels import report_doubts

READING = {"max_pixels": 10**6, "profiles": "apply"}
WRONG = 3


class Source(FeatureSource):
    model, preprocessing, length = "model", "none", 3


@pytest.fixture
def given(tmp_path):
    """Queries and gallery of three classes, one query wrongly labelled; two sets of vectors."""
    random = np.random.default_rng(3)
    files = {"vectors": []}
    parts = {}
    for number, part in enumerate(("query", "gallery")):
        classes = np.repeat(np.arange(3), 8)
        pictures = []
        for row, each in enumerate(classes):
            path = tmp_path / f"{part}_{row}.png"
            Image.new("RGB", (12, 9), (80 * int(each), row, number)).save(path)
            name = f"{100 * number + row:016x}"
            label = f"class {2 if part == 'query' and row == WRONG else each}"
            pictures.append(Picture(name, str(path), label, part, name, 12, 9, "0" * 16))
        parts[part] = Manifest(pictures)
        files[part] = tmp_path / f"{part}.csv"
        parts[part].write(files[part])
    for name, spread in (("noise", 5), ("clouds", 0.1)):
        for part, manifest in parts.items():
            vectors = np.eye(3)[classes] + random.normal(0, spread, (len(classes), 3))
            ends = ("npy", "ids.csv", "origin.json")
            written = [tmp_path / f"{name}.{part}.{end}" for end in ends]
            write_features([vectors], manifest.ids, Source(), written)
            files["vectors"] += written
    return files


def test_the_doubtful_label_is_listed_drawn_and_counted(given, tmp_path):
    output = {"doubts": tmp_path / "doubts.csv", "doubts_drawn": tmp_path / "doubts.png"}
    settings = {"distance": 4, "seed": 1, "most_drawn": 6, "reading": READING}
    metrics = [("noise", "cosine"), ("clouds", "euclidean")]
    said = report_doubts(given, output, metrics=metrics, title="small", **settings)
    found = read_doubts(output["doubts"])
    assert (found[0].picture, found[0].part) == (f"{WRONG:016x}", "query")
    assert (found[0].label, found[0].suggested) == ("class 2", "class 0")
    assert found[0].experiments[0] == "clouds"
    assert said["doubtful_labels"] == len(found)
    assert said["labels agreed with/clouds"] > 0.9 > said["labels agreed with/noise"]
    with Image.open(output["doubts_drawn"]) as drawn:
        assert drawn.width > 11 * 128
