"""Which files the data of a workflow are: its source, its parts, and what is right in them."""

import posixpath
from functools import cached_property
from pathlib import Path

from gallerist.io.files import PathLike
from gallerist.settings.challenge import EmbeddedChallenge
from gallerist.settings.configuration import Configuration
from gallerist.settings.dataset import EmbeddedPictures
from gallerist.workflow.results import Results, query_part
from gallerist.workflow.table_layout import UNDIVIDED, TableLayout, layout_of

Files = str | list[str]
"""An input of a rule: one file, or a list; an empty one where there is none."""

FOLDERS = {
    "tree": {"originals": "training", "gallery": "validation/gallery", "query": "validation/query"},
    "classes": {"originals": "."},
}
"""Layout -> part -> the folder of the source that holds it."""

SEARCHED = ("gallery", "query")

CHALLENGE_PARTS = ("challenge_gallery", "challenge_query")
"""The two folders of an unlabelled challenge, as parts."""


class DataPlan:
    """The pictures of a checked configuration, and the files that say what they are."""

    def __init__(self, config: Configuration, root: PathLike = "results") -> None:
        self.config = config
        self.dataset, self.challenge = config.dataset, config.challenge
        asked = query_part({"evaluation": {"protocol": config.evaluation.protocol}})
        self.results = Results(Path(root, config.dataset.name), asked)

    @property
    def source(self) -> str:
        """Where the pictures come from: embedded, table, folder or archive."""
        sources = ("embedded", "table", "folder", "archive")
        return next(source for source in sources if getattr(self.dataset, source))

    @property
    def imported(self) -> list[str]:
        """The parts of the data set that are imported, from a folder or a table."""
        apart = [Path(each).stem for each in self.undivided.values()]
        there = [each for each in self._parts_apart if each not in self.undivided]
        return [*apart, *there, *(["pool"] if self.dataset.extend else [])]

    @property
    def _parts_apart(self) -> list[str]:
        """The parts that folders or a table hold apart, beside what is divided."""
        if self.table:
            return [part for part in ("validation", *SEARCHED) if part in self.table.parts]
        known = ("originals", *self.parts_of_data)
        return [part for part in FOLDERS[self.dataset.layout] if part in known]

    @property
    def undivided(self) -> dict[str, str]:
        """What is divided by classes -> its manifest: `originals`, and of parts that are apart
        those whose pictures are taken of the unseen classes only.
        """
        unseen = self.dataset.split.unseen_classes is not None
        parts = [part for part in SEARCHED if unseen and part in self._parts_apart]
        found = {"originals": "originals"} | {part: f"{part}{UNDIVIDED}" for part in parts}
        return {part: self.results.file(f"manifests/{name}.csv") for part, name in found.items()}

    @cached_property
    def table(self) -> TableLayout | None:
        """What the table of pictures has; None where there is none."""
        return layout_of(self.dataset.table) if self.dataset.table else None

    def in_table(self, part: str) -> bool:
        """Whether a part is imported from the table."""
        return self.table is not None and part in self.imported and part != "pool"

    @property
    def shares(self) -> dict[str, float]:
        """Part -> share of the originals: what is not held out to validate is trained on.

        Folders of layout tree, and tables with parts, have gallery and query apart.
        """
        shares: dict[str, float] = self.dataset.split.model_dump(exclude={"seed", "unseen_classes"})
        if "validation" in self.imported:
            shares = {"training": 1.0}
        shares.setdefault("training", 1 - shares["validation"])
        return shares

    @property
    def query_part(self) -> str:
        """The part whose pictures are the queries: the gallery, where these search each other."""
        return self.results.queries

    @property
    def grouped(self) -> Files:
        """The manifest by which it is said who may answer whom; none where all may."""
        return self.manifest("gallery") if self.config.evaluation.asking else []

    @cached_property
    def parts_of_data(self) -> list[str]:
        """The parts that the data set has: `query` also where nothing is asked of it, since another
        protocol then computes nothing of a picture again.
        """
        if self.table and self.table.parts:
            there = "query" in self.table.parts
        elif self.table or self.dataset.layout == "classes":
            there = self.dataset.split.query is not None
        elif self.source == "folder":
            there = Path(self.part_folder("query")).is_dir()
        else:
            there = self.source == "embedded"
        asked = ["query"] if there or self.query_part == "query" else []
        return ["training", "validation", "gallery", *asked]

    @property
    def challenge_parts(self) -> list[str]:
        """The parts of the challenge, where there is one."""
        return list(CHALLENGE_PARTS) if self.challenge else []

    @property
    def challenge_folder(self) -> str:
        """The folder that holds the challenge's gallery/ and query/."""
        assert self.challenge
        return self.challenge.folder or self.results.file("challenge/source")

    def part_folder(self, part: str) -> str:
        """The folder that a part is imported from."""
        if part in CHALLENGE_PARTS:
            return posixpath.join(self.challenge_folder, part.removeprefix("challenge_"))
        if part == "pool" and self.dataset.extend:
            return self.dataset.extend.pool
        if self.dataset.table:
            return self.dataset.folder or posixpath.dirname(self.dataset.table) or "."
        inside = self.dataset.archive.subfolder if self.dataset.archive else ""
        source = self.dataset.folder or posixpath.join(self.results.file("source"), inside)
        inside = FOLDERS[self.dataset.layout][part.removesuffix(UNDIVIDED)]
        return posixpath.normpath(posixpath.join(source, inside))

    def part_source(self, part: str) -> Files:
        """What must exist before a part is imported: nothing, where the pictures are the user's."""
        if part in CHALLENGE_PARTS:
            source = self.results.file("challenge/source")
            return [] if self.challenge_folder != source else source
        users = part == "pool" or self.source in ("folder", "table")
        return [] if users else self.results.file("source")

    @cached_property
    def sources(self) -> dict[str, list[str]]:
        """What is drawn or unpacked, `source` and `challenge` -> the parts imported from it.

        They change together, so that one job imports them; of the user's parts each has its own.
        """
        every = {"source": self.imported, "challenge": self.challenge_parts}
        found = {
            source: [part for part in parts if self.part_source(part)]
            for source, parts in every.items()
        }
        return {source: parts for source, parts in found.items() if parts}

    def embedded(self, source: str) -> EmbeddedPictures | EmbeddedChallenge | None:
        """What is to be drawn, where a source is; None where its pictures come from elsewhere."""
        if source == "challenge":
            return self.challenge.embedded if self.challenge else None
        return self.dataset.embedded

    @property
    def users(self) -> list[str]:
        """The parts that are imported from folders or tables of the user's."""
        every = [*self.imported, *self.challenge_parts]
        return [part for part in every if not self.part_source(part)]

    def corrections(self, part: str) -> Files:
        """What corrects the pictures of a part where they are imported; none of a challenge."""
        return (self.dataset.corrections if part in self.imported else None) or []

    def manifest(self, part: str) -> str:
        """The manifest that the networks and the search read for a part."""
        extended = part == "training" and self.dataset.extend
        return self.results.file(f"manifests/{'extended_training' if extended else part}.csv")

    def data_outputs(self) -> list[str]:
        """What the jobs left that made the data what it is."""
        return [
            *(["source"] if self.source == "archive" else []),
            *self._imports(self.imported, "source"),
            "manifests/split",
            *(["manifests/extended_training"] if self.dataset.extend else []),
            *(["truth"] if self.dataset.truth else []),
            *(["domains"] if self.domains else []),
        ]

    @property
    def challenge_imports(self) -> list[str]:
        """The records of the jobs that import a challenge: when its folder is another one, they are
        what is missing, and not the manifests.
        """
        records = self._imports(self.challenge_parts, "challenge")
        return [self.results.file(f"{record}.record.json") for record in records]

    def _imports(self, parts: list[str], source: str) -> list[str]:
        """What the jobs that import these parts left: one for all of a source, and the user's."""
        together = self.sources.get(source, [])
        apart = [part for part in parts if part not in together]
        return [f"manifests/{each}" for each in ([source] if together else []) + apart]

    @property
    def truth(self) -> Files:
        """The file of what is right, where that is stated; none where classes say it."""
        return self.results.file("truth.csv") if self.dataset.truth else []

    @property
    def domains(self) -> Files:
        """The file of the queries' domains; none where the table names none."""
        asked = self.asked_part if self.table and self.table.parts else ""
        there = self.table is not None and asked in self.table.domains
        return self.results.file("domains.csv") if there else []

    @property
    def asked_part(self) -> str:
        """The part of the table that the queries are imported from."""
        return self.query_part if self.table and self.table.parts else "originals"

    @property
    def stated_in(self) -> list[str]:
        """The files that state what is right."""
        truth = self.dataset.truth
        files = [truth.pairs, truth.annotations] if truth else []
        if truth and (truth.column or truth.within):
            files.append(self.dataset.table)
        return [file for file in files if file]

    @property
    def labelled(self) -> bool:
        """Whether every picture is of one class."""
        several = self.dataset.truth is not None and self.dataset.truth.labels is not None
        return not several and (self.table is None or self.table.labelled)

    @property
    def learned_from(self) -> str:
        """The part that words are learned from: of a table without training pictures the gallery,
        which is there before any query is.
        """
        table = self.table
        return "gallery" if table and table.parts and "training" not in table.parts else "training"
