"""Readers of files from outside, given damaged ones: one message that names the file, or a value.

Each reader gets whole files of its form, changed at places that a seed chooses: bytes put in, taken
out, repeated, exchanged. 50 of them in `make test`, 2,000 in `make test-all`. The process grows by
less than MEGABYTES.
"""

import io
import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import yaml
from checkout import CHECKOUT
from damage import refusals
from peak_memory import growth_below, needs_linux
from pyarrow import parquet

from gallerist.challenge.lint import lint
from gallerist.challenge.truth import Truth
from gallerist.config.completion import read
from gallerist.data.corrections import read_corrections
from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.external_evaluation import Task, evaluate_files
from gallerist.evaluation.external_rankings import read_ranking, read_truth
from gallerist.evaluation.judged_truth import read_judged_truth
from gallerist.evaluation.protocol_report import read_claims
from gallerist.features.given import GivenVectors
from gallerist.features.store import Features, write_features
from gallerist.io.table_file import read_text_table
from gallerist.records.record import Record, read_record, write_record
from gallerist.search.ranking import Ranking
from gallerist.search.ranking_file import RankingFile

MEGABYTES = 64
"""That the process may grow by, whatever of these files of some thousand bytes it reads."""

FEW, MANY = 50, 2_000

QUERIES = ("q1", "q,2", "é日", "q4")
RANKED = [(query, rank, f"g{rank}") for query in QUERIES for rank in range(1, 6)]


def table(header, rows):
    lines = [header, *(",".join(f'"{cell}"' for cell in row) for row in rows)]
    return "".join(f"{line}\n" for line in lines).encode()


def lines(rows):
    return "".join(f"{' '.join(map(str, row))}\n" for row in rows).encode()


ANSWERS = {"groupname": "g", "images": {"q.png": ["a.png", "b.png"], "r.png": ["b.png", "a.png"]}}
TRUTH = {"query": {"q.png": "cat"}, "gallery": {"a.png": "cat", "b.png": "confusion_classes"}}
ANNOTATIONS = {
    "gallery": ["a.png", "b.png", "c.png"],
    "queries": ["q.png", "r.png"],
    "truth": [
        {"easy": [0], "hard": [1], "junk": [2]},
        {"easy": [], "hard": [2], "junk": [], "bbox": [1.0, 2.0]},
    ],
}
CORRECTIONS = [
    ("ab12", "label", "cat", "a note"),
    ("ab13", "bad", "", ""),
    ("ab14", "leak", "query:cd15", ""),
]
CONFIG = {
    "dataset": {"name": "tiny", "embedded": {"seed": 3}, "images": {"on_bad": "fail"}},
    "experiments": {
        "a": {"network": "scratch", "epochs": [1, 2], "l1": 1.0e-5},
        "b": {"descriptor": "hog", "search": {"metric": "cosine"}},
        "c": {"fusion": "ranks", "of": ["a-epochs1", "b"]},
    },
    "evaluation": {"k": [1, 3], "metrics": ["mAP", "nDCG@3"], "queries_drawn": ["{x}.png"]},
}


def record():
    return Record(
        stage="import_images",
        dataset="tiny",
        execution="0" * 32,
        title="t",
        started="2026-01-01T00:00:00+00:00",
        status="finished",
        finished="2026-01-01T00:00:01+00:00",
        metrics={"images": 3.0},
        curves={"loss": [(0, 1.0), (1, 0.5)]},
        tags={"weights": "none"},
    )


def written_features(folder):
    """Vectors, ids and origin of two pictures, and the paths of the three files."""
    files = [folder / name for name in ("vectors.npy", "ids.csv", "origin.json")]
    vectors = np.eye(2, dtype=np.float32)
    made = SimpleNamespace(model="m" * 64, preprocessing="p" * 64, length=2)
    write_features([vectors], ["a", "b"], made, files)
    return files


PICTURES = [(f"é {number}.png", "cat", "gallery") for number in range(6)]


def parquet_table(path):
    columns = zip(("path", "label", "part"), zip(*PICTURES, strict=True), strict=True)
    parquet.write_table(pa.table({name: list(values) for name, values in columns}), path)
    return path.read_bytes()


def npy(array):
    held = io.BytesIO()
    np.save(held, array)
    return held.getvalue()


def written_origin(folder):
    return written_features(folder)[-1].read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Right files of every form."""
    folder = tmp_path_factory.mktemp("whole")
    write_record(folder / "record.json", record())
    pictures = (
        Picture(f"{number:016x}", f"cat/é {number}.png", "cat", "gallery", "0" * 16, 9, 9, "0" * 16)
        for number in range(6)
    )
    Manifest(pictures).write(folder / "manifest.csv")
    return {
        "ranking": table(
            "query_id,rank,gallery_id,distance", [(*row, row[1] / 7) for row in RANKED]
        ),
        "run": lines((q, "Q0", g, rank, 1 / rank, "tag") for q, rank, g in RANKED),
        "classes": table(
            "id,label,part",
            [(query, "cat", "query") for query in QUERIES]
            + [(f"g{number}", "cat", "gallery") for number in range(6)],
        ),
        "pairs": table("query_id,gallery_id,relevant", [(q, g, rank % 2) for q, rank, g in RANKED]),
        "qrels": lines((q, 0, g, rank % 2) for q, rank, g in RANKED),
        "answers": json.dumps(ANSWERS, ensure_ascii=False, indent=1).encode(),
        "truth": json.dumps(TRUTH, indent=1).encode(),
        "truth table": table("file,part,label,domain", [("q.png", "query", "cat", "photo"),
                                                        ("a.png", "gallery", "cat", "")]),
        "record": (folder / "record.json").read_bytes(),
        "annotations": json.dumps(ANNOTATIONS, indent=1).encode(),
        "corrections": table("picture,action,value,note", CORRECTIONS),
        "manifest": (folder / "manifest.csv").read_bytes(),
        "pictures": table("path,label,part", PICTURES),
        "parquet": parquet_table(folder / "pictures.parquet"),
        "kept ranking": "".join(
            f"{line}\n"
            for line in (
                "query_id,rank,gallery_id,distance",
                *(f"é{q},{r},g{r},{r / 7:.9f}" for q in range(4) for r in (1, 2, 3)),
            )
        ).encode(),
        "origin": written_origin(folder),
        "vectors": npy(np.arange(18, dtype=np.float32).reshape(6, 3)),
        "ids": table("path,note", [(path, "x") for path, *_ in PICTURES]),
        "names": npy(np.array([path for path, *_ in PICTURES])),
        "claims": table("claimed,k,metric", [("67.7", "", "mAP"), ("0.412", "1", "precision")]),
        "yaml": yaml.safe_dump(CONFIG, sort_keys=False).encode(),
        "default": (CHECKOUT / "config/config.yaml").read_bytes(),
        "json": json.dumps(CONFIG).encode(),
    }  # fmt: skip


def evaluated(path, folder):
    """A ranking, or what is relevant, beside the right file of the other kind."""
    read_ranking(path)
    evaluate_files(Task([path, folder / "classes"], ks=[1], metrics=["mAP@2"], rounds=1000))


def linted(path, folder):
    for problem in lint(path, ["a.png", "b.png"], ["q.png", "r.png"], 2):
        assert "\n" not in problem.message
        assert len(problem.message) < 200_000


def kept_ranking(path, folder):
    """In both ways in which a ranking among the results is read."""
    del folder
    Ranking.read(path)
    places = {f"é{query}": query for query in range(4)}
    for query in places:
        RankingFile(path, places).answers(query, 2, skipped=1)


def features(path, folder):
    vectors, ids, _ = (folder / name for name in ("vectors.npy", "ids.csv", "origin.json"))
    if not vectors.exists():
        written_features(folder)
    Features.read(vectors, ids, path)


def given_vectors(path, folder):
    """Damaged rows, or damaged names of them, beside the right other file."""
    rows, ids = folder / "rows.npy", folder / "ids.csv"
    np.save(rows, np.ones((6, 3)))
    ids.write_text("\n".join(path for path, *_ in PICTURES), encoding="utf-8")
    pictures = {
        "gallery": Manifest(
            Picture(f"{row:016x}", f"data/{name}", "", "gallery", "", 9, 9, "")
            for row, (name, *_) in enumerate(PICTURES)
        )
    }
    given = (path, ids) if path.stem == "vectors" else (rows, path)
    for batch in GivenVectors(*given, pictures, "data").batches(pictures["gallery"].paths):
        assert np.isfinite(batch).all()


READERS = {
    "ranking": evaluated,
    "run": evaluated,
    "classes": lambda path, folder: read_truth([path], QUERIES),
    "pairs": lambda path, folder: read_truth([path], QUERIES),
    "qrels": lambda path, folder: read_truth([path], QUERIES),
    "answers": linted,
    "truth": lambda path, folder: Truth.read(path),
    "truth table": lambda path, folder: Truth.read(path),
    "record": lambda path, folder: read_record(path),
    "annotations": lambda path, folder: read_judged_truth([path], QUERIES),
    "corrections": lambda path, folder: read_corrections(path),
    "manifest": lambda path, folder: Manifest.read(path),
    "pictures": lambda path, folder: read_text_table(path),
    "parquet": lambda path, folder: read_text_table(path),
    "kept ranking": kept_ranking,
    "origin": features,
    "vectors": given_vectors,
    "ids": given_vectors,
    "names": given_vectors,
    "claims": lambda path, folder: read_claims(path),
    "yaml": lambda path, folder: read(path),
    "default": lambda path, folder: read(path),
    "json": lambda path, folder: read(path),
}
NAMES = {
    "annotations": "damaged.json",
    "truth": "damaged.json",
    "truth table": "damaged.csv",
    "parquet": "damaged.parquet",
    "vectors": "vectors.npy",
    "names": "names.npy",
}


@needs_linux
@pytest.mark.parametrize(
    "count", [FEW, pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])]
)
@pytest.mark.parametrize("form", READERS)
def test_a_damaged_file_is_read_or_refused_in_one_message(tmp_path, whole, form, count):
    (tmp_path / "classes").write_bytes(whole["classes"])
    path = tmp_path / NAMES.get(form, "damaged")
    path.write_bytes(whole[form])
    READERS[form](path, tmp_path)  # whole, it is read

    def read(content):
        path.write_bytes(content)
        READERS[form](path, tmp_path)

    with growth_below(MEGABYTES):
        refused = refusals(whole[form], read, count)
    assert len(refused) > count // 10 or form == "answers"  # whose problems are listed
