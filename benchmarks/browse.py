"""The page of `gallerist browse` on a large result: how quick it is, and how much memory it takes.

The result is made here from a seed, as a run would leave it, without running one: its pictures are
links to a few, and its rankings are drawn.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.serving import EXPERIMENT, finished
from benchmarks.tables import Cell, Table
from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation import comparison, tables
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.curves import COLUMNS as CURVES
from gallerist.evaluation.curves import HIT_RATE
from gallerist.evaluation.scores import Scores
from gallerist.evaluation.significance import better_than, find_differences, write_differences
from gallerist.io.arrays import Integers
from gallerist.io.files import sha256_of_text, write_csv, write_json
from gallerist.records.record import Record, write_record
from gallerist.search.ranking import COLUMNS as RANKED

EXPERIMENTS = ("one", "two", "three")
CLASSES = 100
PICTURES = 64
SETTINGS = IntervalSettings(99, 200, 0.95)
ASKED = 50
"""Queries whose pages are opened."""

_READING_AHEAD = 5.0
"""Seconds that a person looks at the first queries, while the server reads the gallery."""

CONNECTIONS = 6
"""That a browser opens at once."""

COSTS = ("epochs_run", "training_seconds", "trunk_seconds", "extraction_images_per_second",
         "parameters", "parameters_trained", "feature_length")  # fmt: skip


@dataclass(frozen=True)
class Synthetic:
    """A result that is drawn. folder: of the data set. depth: answers a query."""

    folder: Path
    queries: int
    gallery: int
    depth: int

    @cached_property
    def manifests(self) -> tuple[Manifest, Manifest]:
        """Queries and gallery; picture number n is of class n modulo CLASSES."""
        return self._part("query", self.queries), self._part("gallery", self.gallery)

    def _part(self, part: str, count: int) -> Manifest:
        pictures = []
        for number in range(count):
            identity = sha256_of_text(f"{part} {number}")[:16]
            label = f"class_{number % CLASSES:03d}"
            path = f"{self.folder}/source/{part}/{label}/{part}_{number:06d}.jpg"
            pictures.append(Picture(identity, path, label, part, identity, 320, 240, "f0" * 8))
        return Manifest(tuple(pictures))

    def write(self) -> None:
        """Write all that the page reads."""
        self._draw()
        for part, manifest in zip(("query", "gallery"), self.manifests, strict=True):
            manifest.write(self.folder / f"manifests/{part}.csv")
        scores, metrics, records = {}, [], []
        for number, name in enumerate(EXPERIMENTS):
            first = self._rank(name, number)
            scores[name] = self._evaluate(name, first)
            metrics.append(self._metrics(name, scores[name]))
            records.append(self._record(name))
            write_record(self.folder / f"evaluation/{name}/experiment.record.json", records[-1])
        found = find_differences(scores, SETTINGS)
        rows = comparison.table_rows(records, metrics, "top-1", better_than(found, "top-1"))
        comparison.write_table(self.folder / "comparison/comparison.csv", rows)
        write_differences(self.folder / "comparison/differences.csv", found)
        decided = {"decided_by": "top-1", "confidence": 0.95}
        record = self._record("", stage="compare_experiments", parameters=decided)
        write_record(self.folder / "comparison/comparison.record.json", record)

    def _draw(self) -> None:
        """Draw some pictures, and give each of the manifests a name of one of them."""
        drawn = []
        for number in range(PICTURES):
            path = self.folder / f"source/{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
            image = Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC)
            image.save(path, quality=90)
            drawn.append(path)
        for manifest in self.manifests:
            for number, path in enumerate(manifest.paths):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                os.link(drawn[number % PICTURES], path)

    def _rank(self, name: str, seed: int) -> Integers:
        """Write a ranking and the list of its first answers; returns ranks of the first right one.

        A right picture is put at a rank that is drawn; the others come as the gallery has them,
        from a place that is drawn.
        """
        random = np.random.default_rng(seed)
        queries, gallery = self.manifests
        ids, paths = np.array(gallery.ids), gallery.paths
        ranks = np.minimum(random.geometric(0.5 - 0.1 * seed, self.queries), self.depth)
        distances = [f"{0.1 + 0.8 * rank / self.depth:.9f}" for rank in range(self.depth)]
        first = np.empty(self.queries, np.int64)
        path = self.folder / f"rankings/{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        listed = []
        with path.open("w", encoding="utf-8") as file:
            file.write(",".join(RANKED) + "\n")
            for number, query in enumerate(queries):
                start = int(random.integers(self.gallery))
                rows = (start + np.arange(self.depth)) % self.gallery
                right = number % CLASSES + CLASSES * int(random.integers(self.gallery // CLASSES))
                rows = np.concatenate([rows[rows != right], [right]])[: self.depth]
                place = int(ranks[number]) - 1
                rows = np.concatenate([np.delete(rows, -1)[:place], [right], rows[place:-1]])
                rows = rows[: self.depth]
                first[number] = int(np.argmax(rows % CLASSES == number % CLASSES)) + 1
                file.writelines(
                    f"{query.id},{rank},{answer},{distance}\n"
                    for rank, (answer, distance) in enumerate(
                        zip(ids[rows].tolist(), distances, strict=False), start=1
                    )
                )
                for rank, row in enumerate(rows[:10].tolist(), start=1):
                    mark = "o" if row % CLASSES == number % CLASSES else "x"
                    answer, label = Path(paths[row]).name, f"class_{row % CLASSES:03d}"
                    name_of = Path(query.path).name
                    distance = distances[rank - 1]
                    listed.append((name_of, query.label, rank, mark, answer, label, distance))
        header = ("query", "class", "rank", "right", "answer", "answer_class", "distance")
        write_csv(self.folder / f"evaluation/{name}/answers.csv", header, listed)
        return first

    def _evaluate(self, name: str, first: Integers) -> Scores:
        """Write the list of queries; returns their hits at 1."""
        queries = self.manifests[0]
        hits = (first == 1).astype(np.float64)
        columns = [hits, (first <= 5).astype(np.float64), 1 / first]
        rows = (
            (*(query.id, query.path, query.label, query.id), rank, *(f"{x:g}" for x in values))
            for query, rank, *values in zip(queries, first.tolist(), *columns, strict=True)
        )
        header = (*tables.COLUMNS, "top-1", "top-5", "mAP")
        write_csv(self.folder / f"evaluation/{name}/queries.csv", header, rows)
        ids, labels = tuple(queries.ids), tuple(queries.labels)
        scores = Scores(ids, labels, ids, {"top-1": hits}, {})
        tables.write_classes(self.folder / f"evaluation/{name}/classes.csv", scores, SETTINGS)
        points = ((HIT_RATE, k, f"{(first <= k).mean():.6f}", "", "") for k in range(1, 51))
        write_csv(self.folder / f"evaluation/{name}/curves.csv", CURVES, points)
        return scores

    def _metrics(self, name: str, scores: Scores) -> dict[str, object]:
        counts = scores.counts(excluded=(), gallery=self.manifests[1])
        found = {"experiment": name, **counts, **scores.as_json(SETTINGS)}
        write_json(self.folder / f"evaluation/{name}/metrics.json", found)
        return found

    def _record(self, experiment: str, **fields: object) -> Record:
        counts = {"queries": float(self.queries), "queries_excluded": 0.0}
        given = {
            "stage": "evaluate_retrieval",
            "experiment": experiment,
            "dataset": self.folder.name,
            "execution": sha256_of_text(experiment)[:32],
            "title": experiment or "comparison",
            "started": "2026-01-01T10:00:00.000+00:00",
            "finished": "2026-01-01T10:00:01.000+00:00",
            "status": "finished",
            "tags": {"weights": "none"},
            "metrics": {**dict.fromkeys(COSTS, 1.0), **counts},
        }
        return Record(**(given | fields))  # type: ignore[arg-type]


def measure(rounds: int, *, quick: bool = False) -> Table:
    """A row for what a person waits for. quick: a result of a hundredth."""
    size = (100, 1000, 50) if quick else (10_000, 100_000, 1000)
    with tempfile.TemporaryDirectory(prefix="gallerist-benchmark-") as root:
        made = Synthetic(Path(root) / "results/large", *size)
        made.write()
        waited = [_waited(Path(root), made) for _ in range(rounds)]
    with tempfile.TemporaryDirectory(prefix="gallerist-benchmark-") as root:
        workflow, experiment = finished(Path(root) / "gallerist", quick=quick)
        dropped = [_dropped(workflow, experiment) for _ in range(rounds)]
    waited = [{**one, **other} for one, other in zip(waited, dropped, strict=True)]
    rows: list[dict[str, Cell]] = []
    for name in waited[0]:
        values = [each[name] for each in waited]
        rows.append({"what": name, "median": median(values), "most": max(values)})
    return Table(
        "browse",
        f"The page on {size[0]:,} queries, {size[1]:,} gallery pictures, {size[2]:,} answers each",
        tuple(rows),
        notes=(
            f"Three experiments. {ASKED} query pages, each with the answers of two experiments and "
            f"21 thumbnails that were not made before, over {CONNECTIONS} connections.",
            "Processor seconds are of the server, and hardly depend on what else the machine does.",
            "Memory is the most that the server had, of its own and of mapped files.",
            f"Dropped were {ASKED} queries of the default run, sent and ranked by {EXPERIMENT}; "
            "the network was loaded by one before.",
        ),
        raw={"waited": waited},
    )


def _waited(root: Path, made: Synthetic) -> dict[str, float]:
    """What one person waits for, in seconds, who starts the server."""
    shutil.rmtree(made.folder / "thumbnails", ignore_errors=True)
    started = time.perf_counter()
    with _server(root) as (process, port):
        ready, used = time.perf_counter() - started, [_processor_seconds(process.pid)]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            asking = _Asking(port, pool)
            begun = time.perf_counter()
            asking.all(["/", "/page/main.js", "/page/style.css", "/api/index"])
            asking.all(["/api/large/overview"])
            first = time.perf_counter() - begun
            used.append(_processor_seconds(process.pid))
            begun = time.perf_counter()
            size = len(asking.one("/api/large/queries"))
            table = time.perf_counter() - begun
            time.sleep(_READING_AHEAD)
            before = _processor_seconds(process.pid)
            random = np.random.default_rng(1)
            chosen = random.choice(made.queries, min(ASKED, made.queries), replace=False)
            pages, answers = [], []
            for query in (made.manifests[0].ids[number] for number in chosen):
                begun = time.perf_counter()
                path = f"/api/large/query/{query}?experiment=one&experiment=two"
                found = json.loads(asking.one(path))["answers"]
                answers.append(time.perf_counter() - begun)
                shown = {query, *(each["id"] for one in found.values() for each in one)}
                asking.all([f"/thumbnails/large/{each}.jpg" for each in shown])
                pages.append(time.perf_counter() - begun)
            busy = _processor_seconds(process.pid) - before
        return {
            "s until the server listens": ready,
            "processor s of that": used[0],
            "s for the first page after that": first,
            "processor s of that page": used[1] - used[0],
            "s for the table of all queries, once": table,
            "MB of that table": size / 1e6,
            "ms for a query page, median": 1000 * median(pages),
            "ms for a query page, most": 1000 * max(pages),
            "processor ms for a query page, mean": 1000 * busy / len(pages),
            "ms for the answers alone, median": 1000 * median(answers),
            "MB of memory": _peak_megabytes(process.pid),
        }


@contextmanager
def _server(root: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command at work in a folder, and its port."""
    program = "import sys; from gallerist.commands.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "browse", "--port", "0"],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline()
        yield process, int(address.split(":")[2].partition("/")[0])
    finally:
        process.terminate()
        process.wait(20)


def _dropped(workflow: Any, experiment: str) -> dict[str, float]:
    """What one waits for who drops pictures on the page, and whether the workflow agrees."""
    ranked: dict[str, list[str]] = {}
    for row in workflow.rows(f"rankings/{experiment}.csv"):
        ranked.setdefault(row["query_id"], []).append(row["gallery_id"])
    seconds, equal = [], 0
    pictures = workflow.rows("manifests/query.csv")[:ASKED]
    with _server(workflow.folder) as (_, port), ThreadPoolExecutor(1) as pool:
        asking = _Asking(port, pool)
        search = f"/api/{workflow.results.name}/search/{experiment}"
        begun = time.perf_counter()
        asking.one(f"{search}?picture={pictures[0]['id']}")
        loading = time.perf_counter() - begun
        for row in pictures:
            data = (workflow.folder / row["path"]).read_bytes()
            begun = time.perf_counter()
            upload = json.loads(asking.one("/api/uploads", data))["id"]
            found = json.loads(asking.one(f"{search}?upload={upload}"))["answers"]
            seconds.append(time.perf_counter() - begun)
            equal += [each["id"] for each in found] == ranked[row["id"]][: len(found)]
    return {
        "s for the first picture, which loads the network": loading,
        "ms for a dropped picture, median": 1000 * median(seconds),
        "ms for a dropped picture, most": 1000 * max(seconds),
        f"equal to the workflow's ranking, of {len(pictures)}": equal,
    }


class _Asking:
    """Requests over as many connections as a browser opens."""

    def __init__(self, port: int, pool: ThreadPoolExecutor) -> None:
        self._port, self._pool = port, pool

    def one(self, path: str, sent: bytes | None = None) -> bytes:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            method = "GET" if sent is None else "POST"
            connection.request(method, path, sent, {"X-Gallerist": "1"})
            response = connection.getresponse()
            content = response.read()
            if response.status != 200:
                raise RuntimeError(f"{path}: {response.status} {content[:300]!r}")
            return content
        finally:
            connection.close()

    def all(self, paths: list[str]) -> list[bytes]:
        return list(self._pool.map(self.one, paths))


def _processor_seconds(pid: int) -> float:
    """What a process has used of all processors."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_megabytes(pid: int) -> float:
    """The most memory that a process had, as Linux counts it."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024
