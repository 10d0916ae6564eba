"""Which files each job of the workflow takes and leaves: what the rules ask for, by wildcards."""

import posixpath
from collections.abc import Sequence
from pathlib import Path

from gallerist.io.files import PathLike
from gallerist.settings.configuration import Configuration
from gallerist.workflow.experiments import Experiment, Kind, extractor_files
from gallerist.workflow.results import Results, feature_files, vector_files

Files = str | list[str]
"""An input of a rule: one file, or a list; an empty one where there is none."""

FOLDERS = {
    "tree": {"originals": "training", "gallery": "validation/gallery", "query": "validation/query"},
    "classes": {"originals": "."},
}
"""Layout -> part -> the folder of the source that holds it."""

CHALLENGE_PARTS = ("challenge_gallery", "challenge_query")
"""The two folders of an unlabelled challenge, as parts."""


class Plan:
    """The experiments of a checked configuration and the files that jobs leave for each other."""

    def __init__(self, config: Configuration, root: PathLike = "results") -> None:
        self.config = config
        self.dataset, self.challenge = config.dataset, config.challenge
        self.results = Results(Path(root, config.dataset.name))
        self.experiments = {
            name: Experiment(name, each) for name, each in config.experiments.items()
        }
        every = self.experiments.values()
        self.pretrained = {each.pretrained: each for each in every if each.pretrained}
        self.trunks = {each.trunk: each for each in every if each.trunk}

    @property
    def source(self) -> str:
        """Where the pictures come from: embedded, folder or archive."""
        sources = ("embedded", "folder", "archive")
        return next(source for source in sources if getattr(self.dataset, source))

    @property
    def imported(self) -> list[str]:
        """The parts of the data set that are imported from a folder."""
        return [*FOLDERS[self.dataset.layout], *(["pool"] if self.dataset.extend else [])]

    @property
    def challenge_parts(self) -> list[str]:
        """The parts of the challenge, where there is one."""
        return list(CHALLENGE_PARTS) if self.challenge else []

    @property
    def challenge_folder(self) -> str:
        """The folder that holds the challenge's gallery/ and query/."""
        assert self.challenge
        return self.challenge.folder or self.results.file("challenge/source")

    @property
    def extracted(self) -> list[str]:
        """The parts that features are extracted of."""
        return ["training", "validation", "gallery", "query", *self.challenge_parts]

    def part_folder(self, part: str) -> str:
        """The folder that a part is imported from."""
        if part in CHALLENGE_PARTS:
            return posixpath.join(self.challenge_folder, part.removeprefix("challenge_"))
        if part == "pool" and self.dataset.extend:
            return self.dataset.extend.pool
        inside = self.dataset.archive.subfolder if self.dataset.archive else ""
        source = self.dataset.folder or posixpath.join(self.results.file("source"), inside)
        return posixpath.normpath(posixpath.join(source, FOLDERS[self.dataset.layout][part]))

    def part_source(self, part: str) -> Files:
        """What must exist before a part is imported: nothing, where the pictures are the user's."""
        if part in CHALLENGE_PARTS:
            source = self.results.file("challenge/source")
            return [] if self.challenge_folder != source else source
        users = part == "pool" or self.source == "folder"
        return [] if users else self.results.file("source")

    def manifest(self, part: str) -> str:
        """The manifest that the networks and the search read for a part."""
        extended = part == "training" and self.dataset.extend
        return self.results.file(f"manifests/{'extended_training' if extended else part}.csv")

    def of_kind(self, kind: Kind) -> list[str]:
        """The experiments whose vectors are made in one way."""
        return [name for name, each in self.experiments.items() if each.kind == kind]

    def weights(self, experiment: str) -> Files:
        """The record of the weights that an experiment starts from; none without a backbone."""
        pretrained = self.experiments[experiment].pretrained
        return self.results.file(f"weights/{pretrained}.json") if pretrained else []

    def augmented_copies(self, experiment: str) -> Files:
        """The manifest of augmented copies, where there are any and the experiment uses them."""
        wanted = self.experiments[experiment].get("augmented")
        there = self.config.augmentation.copies
        return self.manifest("augmented") if wanted and there else []

    def training_parts(self, experiment: str) -> list[str]:
        """The parts that an experiment is trained and validated on; none without epochs."""
        if not self.experiments[experiment].get("epochs"):
            return []
        copies = ["augmented"] if self.augmented_copies(experiment) else []
        return ["training", *copies, "validation"]

    def trunk_rows(self, experiment: str, parts: Sequence[str]) -> list[str]:
        """The kept rows of some parts; none where the network reads the pictures themselves."""
        trunk = self.experiments[experiment].trunk
        if trunk is None:
            return []
        stems = (self.results.file(f"trunks/{trunk}/{part}") for part in parts)
        return [file for stem in stems for file in vector_files(stem)]

    def training_rows(self, experiment: str) -> list[str]:
        """The kept rows that a network is trained on."""
        return self.trunk_rows(experiment, self.training_parts(experiment))

    def extraction_rows(self, experiment: str, part: str) -> list[str]:
        """The kept rows that features are extracted from; none where the pictures are read.

        That is for several views of each, and in a challenge, whose gallery is seen once.
        """
        pictures = self.experiments[experiment].get("views") or part in CHALLENGE_PARTS
        return [] if pictures else self.trunk_rows(experiment, [part])

    def features(self, experiment: str, part: str) -> list[str]:
        """The vectors of a part as they were extracted."""
        return [*map(self.results.file, feature_files(experiment, part))]

    def searched_features(self, experiment: str, part: str) -> list[str]:
        """The vectors of a part as they are searched: reduced, where the experiment says so."""
        reduced = bool(self.experiments[experiment].get("reduction"))
        return [*map(self.results.file, feature_files(experiment, part, reduced=reduced))]

    def member_features(self, experiment: str, part: str) -> list[str]:
        """The vectors of a part by all experiments that this one is combined from."""
        members = self.experiments[experiment].members
        return [file for name in members for file in self.searched_features(name, part)]

    def fusion_weights(self, experiment: str) -> Files:
        """How much each member of a fusion counts, where that is learned."""
        learned = self.experiments[experiment].get("fusion") == "weighted"
        return self.results.file(f"fusions/{experiment}.json") if learned else []

    def ranking(self, experiment: str, folder: str = "", before: str | None = None) -> str:
        """The ranking that an experiment is evaluated by, or that the step `before` starts from.

        folder: "challenge/" for that of the challenge.
        """
        name = self.experiments[experiment].rankings(before)[-1]
        return self.results.file(f"{folder}{name}.csv")

    def member_rankings(self, experiment: str, folder: str = "") -> list[str]:
        """The rankings of all experiments that this one is combined from."""
        return [self.ranking(name, folder) for name in self.experiments[experiment].members]

    def training_pictures(self, experiment: str) -> list[str]:
        """The history of a network's training and the picture of it; none without a network."""
        if self.experiments[experiment].kind != "network":
            return []
        names = ("curves.png", "history.csv")
        return [self.results.file(f"models/{experiment}/{name}") for name in names]

    def explanations(self, experiment: str) -> list[str]:
        """The pictures that explain an experiment, beside those of its evaluation."""
        asked, wanted = self.experiments[experiment], self.config.evaluation.explanations
        names = []
        if "map" in wanted and asked.kind != "fused_rankings":
            names.append(f"evaluation/{experiment}/map.png")
        if "similarity" in wanted and asked.kind == "network":
            names.append(f"evaluation/{experiment}/similarity.png")
        if asked.kind == "vocabulary":
            names.append(f"vocabularies/{experiment}.png")
        names += [f"rankings/{experiment}{step.picture}" for step in asked.steps if step.picture]
        return [*map(self.results.file, names)]

    def upstream_records(self, experiment: str) -> list[str]:
        """The records of every job that an experiment's accuracy rests on."""
        asked = self.experiments[experiment]
        outputs = self._data_outputs()
        for name in asked.members:
            outputs += self._vector_outputs(name)
            if asked.kind == "fused_rankings":
                outputs += self.experiments[name].rankings()
        outputs += self._vector_outputs(experiment) + asked.rankings()
        return [self.results.file(f"{name}.record.json") for name in dict.fromkeys(outputs)]

    def _data_outputs(self) -> list[str]:
        """What the jobs left that made the data what it is."""
        return [
            *([] if self.source == "folder" else ["source"]),
            *(f"manifests/{part}" for part in self.imported),
            "manifests/split",
            *(["manifests/extended_training"] if self.dataset.extend else []),
        ]

    def _vector_outputs(self, experiment: str) -> list[str]:
        """What the experiment's own jobs left, up to the vectors that it searches."""
        asked = self.experiments[experiment]
        if asked.kind == "fused_rankings":
            return []
        searched, names = ["gallery", "query"], []
        if asked.kind == "network":
            seen = [] if asked.get("views") else searched
            names += ["manifests/augmented"] if self.augmented_copies(experiment) else []
            names += [f"weights/{asked.pretrained}"] if asked.pretrained else []
            parts = [*self.training_parts(experiment), *seen] if asked.trunk else []
            names += [f"trunks/{asked.trunk}/{part}" for part in parts]
        folders = ["features", *(["reduced"] if asked.get("reduction") else [])]
        ends = [f"{folder}/{experiment}/{part}" for folder in folders for part in searched]
        return [*names, *asked.learned, *ends]

    @property
    def challenge_truth(self) -> Files:
        """The file that a challenge is graded by; none where nobody has it."""
        assert self.challenge
        drawn = "" if self.challenge.folder else self.results.file("challenge/truth.json")
        return self.challenge.truth or drawn or []

    @property
    def registered_names(self) -> list[str]:
        """What is registered, when models are asked for: experiments by name, or the best."""
        return self.config.registry.experiments or ["best"]

    @property
    def registered(self) -> list[str]:
        """The experiments of which models are made, or may be: of all that can, one is the best."""
        named = [name for name in self.registered_names if name != "best"]
        if "best" in self.registered_names:
            named += [name for name, each in self.experiments.items() if not each.refusal]
        return list(dict.fromkeys(named))

    @property
    def model_files(self) -> list[str]:
        """What the models are made of."""
        every = self.config.experiments
        names = [file for name in self.registered for file in extractor_files(name, every)]
        return [self.results.file(name) for name in dict.fromkeys(names)]
