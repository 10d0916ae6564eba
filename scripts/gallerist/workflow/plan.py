"""Which files each job of the workflow takes and leaves: what the rules ask for, by wildcards."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gallerist.io.files import PathLike
from gallerist.settings.configuration import Configuration
from gallerist.workflow.data_plan import CHALLENGE_PARTS, DataPlan, Files
from gallerist.workflow.experiments import Experiment, Kind, extractor_files
from gallerist.workflow.results import extraction_record, feature_files
from gallerist.workflow.seeds import groups

EXPORTED = (".xml", ".bin", ".json")
"""Endings of the files that hold a network for OpenVINO: graph, weights, description."""


@dataclass(frozen=True)
class ExtractionRule:
    """One of the rules that an extracting rule is written as: what it makes differs.

    suffix: of its name. experiments: that it is for. outputs: name -> files. log: of its jobs.
    shard: which one of how many, None where the wildcard says it; of a job that does all, 0 of 1.
    shards: the records of the jobs that go before.
    """

    suffix: str
    experiments: list[str]
    outputs: dict[str, Files]
    log: str = "{experiment}"
    shard: tuple[int | None, int] = (0, 1)
    shards: tuple[str, ...] = ()


class Plan(DataPlan):
    """The experiments of a checked configuration and the files that jobs leave for each other."""

    def __init__(self, config: Configuration, root: PathLike = "results") -> None:
        super().__init__(config, root)
        self.experiments = {
            name: Experiment(name, each) for name, each in config.experiments.items()
        }
        every = self.experiments.values()
        # The fusions that vectors of an experiment are members of.
        self._fusions: dict[str, list[Experiment]] = {name: [] for name in self.experiments}
        for each in self.of_kind("fused_vectors"):
            for member in self.experiments[each].members:
                self._fusions[member].append(self.experiments[each])
        self.pretrained = {each.pretrained: each for each in every if each.pretrained}
        self.trunks = {each.trunk: each for each in every if each.trunk}
        self.seeds = groups(config.experiments)
        self._other_seeds = {name for _, *others in self.seeds.values() for name in others}

    @property
    def extracted(self) -> list[str]:
        """The parts that features are extracted of."""
        return [*self.parts_of_data, *self.challenge_parts]

    def parts(self, experiment: str, *, reduced: bool = False) -> list[str]:
        """The parts whose vectors by an experiment something needs; reduced: in that form.

        Those that are searched; training, where a reduction is fitted on them; validation, where
        the members of a fusion are weighed by them, or a threshold is fitted on them.
        """
        fusions = self._fusions[experiment]
        fitted = [*fusions] if reduced else [self.experiments[experiment], *fusions]
        needed = {
            "training": any(each.get("reduction") for each in fitted),
            "validation": self.config.evaluation.abstaining is not None
            or any(each.get("fusion") == "weighted" for each in fusions),
        }
        return [part for part in self.extracted if needed.get(part, True)]

    def extraction_rules(self, kind: Kind) -> list[ExtractionRule]:
        """The rules that extract the vectors of one kind: one for each set of parts, and shards."""
        count = self.config.compute.shards
        stem = self.results.file(extraction_record("{experiment}"))
        shards = tuple(f"{stem}-{number}-of-{count}.record.json" for number in range(count))
        if count == 1 or kind == "fused_vectors":  # which no picture is read for
            return self._rules_by_parts(self.of_kind(kind))
        record: dict[str, Files] = {"record": f"{stem}-{{shard}}-of-{count}.record.json"}
        every, log = self.of_kind(kind), "{experiment}/{shard}"
        shard = ExtractionRule("__shard", every, record, log, (None, count))
        return [*self._rules_by_parts(every, shards), shard]

    def reduction_rules(self) -> list[ExtractionRule]:
        """The rules that reduce the vectors of all parts."""
        reduced = [name for name, each in self.experiments.items() if each.get("reduction")]
        return self._rules_by_parts(reduced, reduced=True)

    def _rules_by_parts(
        self, names: list[str], shards: tuple[str, ...] = (), *, reduced: bool = False
    ) -> list[ExtractionRule]:
        """The rules that leave the vectors of all parts of these experiments, by sets of parts."""
        by_parts: dict[tuple[str, ...], list[str]] = {}
        for name in names:
            by_parts.setdefault(tuple(self.parts(name, reduced=reduced)), []).append(name)
        record = self.results.file(extraction_record("{experiment}", reduced=reduced))
        rules = []
        for parts, those in by_parts.items():
            outputs: dict[str, Files] = {"record": f"{record}.record.json"}
            for part in parts:
                files = feature_files("{experiment}", part, reduced=reduced)
                outputs[part] = [*map(self.results.file, files)]
            suffix = "".join(f"__{part}" for part in parts if part in ("training", "validation"))
            rules.append(ExtractionRule(suffix, those, outputs, shards=shards))
        return rules

    def manifests(self, experiment: str) -> dict[str, str]:
        """Part -> manifest, of those whose vectors by an experiment something needs."""
        return {part: self.manifest(part) for part in self.parts(experiment)}

    @property
    def computing(self) -> dict[str, Any]:
        """What of the section `compute` can change a number."""
        return self.config.compute.model_dump(exclude={"shards"})

    def of_kind(self, kind: Kind) -> list[str]:
        """The experiments whose vectors are made in one way."""
        return [name for name, each in self.experiments.items() if each.kind == kind]

    def weights(self, experiment: str) -> Files:
        """The record of the weights that an experiment starts from; none without a backbone."""
        pretrained = self.experiments[experiment].pretrained
        return self.results.file(f"weights/{pretrained}.json") if pretrained else []

    def encoders(self, network: str) -> list[str]:
        """The experiments by encoders in files of one kind: onnx or keras."""
        return [
            name
            for name in self.of_kind("encoder")
            if self.experiments[name].get("network") == network
        ]

    def encoder_files(self, experiment: str) -> list[str]:
        """The file of an encoder, and what usually holds its weights beside it, as far as there."""
        file = self.experiments[experiment].get("file")
        if file is None:
            return []
        return [
            file,
            *(beside for end in (".data", "_data") if Path(beside := file + end).is_file()),
        ]

    def encoder(self, experiment: str) -> list[str]:
        """The files of an imported encoder: first the one that it is opened by."""
        return [*map(self.results.file, self.experiments[experiment].network_files)]

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

    def training_trunk(self, experiment: str) -> list[str]:
        """The exported frozen layers whose rows a network is trained on; none where it sees pixels.

        Graph, weights, description.
        """
        trunk = self.experiments[experiment].trunk
        if trunk is None or not self.training_parts(experiment):
            return []
        return [self.results.file(f"trunks/{trunk}/trunk{end}") for end in EXPORTED]

    def extraction_trunk(self, experiment: str) -> list[str]:
        """Those whose rows features are extracted from; none with several views of each picture."""
        asked = self.experiments[experiment]
        if asked.trunk is None or asked.get("views"):
            return []
        return [self.results.file(f"trunks/{asked.trunk}/trunk{end}") for end in EXPORTED]

    def training_rows(self, experiment: str) -> list[str]:
        """The record of the job that keeps the rows that a network is trained on."""
        if not self.training_trunk(experiment):
            return []
        return [self.results.file(f"{self._rows(experiment)}.record.json")]

    def _rows(self, experiment: str) -> str:
        return f"trunks/{self.experiments[experiment].trunk}/training"

    def trunk_manifests(self, trunk: str) -> dict[str, str]:
        """Part -> manifest, of the pictures that networks on a trunk learn from."""
        of_trunk = (name for name, each in self.experiments.items() if each.trunk == trunk)
        parts = {part for name in of_trunk for part in self.training_parts(name)}
        every = ("training", "augmented", "validation")
        return {part: self.manifest(part) for part in every if part in parts}

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

    def unreduced_features(self, experiment: str) -> dict[str, list[str]]:
        """Part -> the vectors that an experiment reduces."""
        parts = self.parts(experiment, reduced=True)
        return {part: self.features(experiment, part) for part in parts}

    def joined_features(self, experiment: str) -> dict[str, list[str]]:
        """Part -> the vectors that those of an experiment are combined from."""
        return {part: self.member_features(experiment, part) for part in self.parts(experiment)}

    def weighed_by(self, experiment: str) -> dict[str, Files]:
        """Pictures and their vectors by each member, where a fusion learns what a member counts."""
        if self.experiments[experiment].get("fusion") != "weighted":
            return {}
        members = self.member_features(experiment, "validation")
        return {"learned_from": self.manifest("validation"), "members": members}

    @cached_property
    def searches(self) -> list[tuple[str, str, str]]:
        """What every experiment searches: gallery, query, and the folder of the rankings.

        The data set first, then the challenge, where there is one; last the held-out training
        pictures in the data set's gallery, where a threshold is fitted on them.
        """
        own = ("gallery", self.query_part, "rankings")
        challenge = (*CHALLENGE_PARTS, "rankings/challenge")
        validation = ("gallery", "validation", "rankings/validation")
        asked = [(challenge, self.challenge), (validation, self.config.evaluation.abstaining)]
        return [own, *(search for search, wanted in asked if wanted)]

    @property
    def asking(self) -> list[dict[str, Any] | None]:
        """Which pictures do not answer each other, in the order of `searches`."""
        return [self.config.evaluation.asking, *(None for _ in self.searches[1:])]

    def galleries(self, experiment: str) -> list[str]:
        """The vectors of all galleries, in the order of `searches`."""
        every = [self.searched_features(experiment, gallery) for gallery, _, _ in self.searches]
        return [file for files in every for file in files]

    def queries(self, experiment: str) -> list[str]:
        """The vectors of all queries, in the order of `searches`."""
        every = [self.searched_features(experiment, query) for _, query, _ in self.searches]
        return [file for files in every for file in files]

    def ranked(self, name: str) -> list[str]:
        """One file for each of the `searches`: `name` in the folders of their rankings."""
        return [self.results.file(f"{folder}/{name}") for _, _, folder in self.searches]

    def rankings(self, experiment: str, before: str | None = None) -> list[str]:
        """The rankings that an experiment is judged by, or that the step `before` starts from.

        In the order of `searches`.
        """
        last = self.experiments[experiment].rankings(before)[-1]
        return self.ranked(f"{Path(last).name}.csv")

    def ranking(self, experiment: str) -> str:
        """The ranking of the data set that an experiment is evaluated by."""
        return self.rankings(experiment)[0]

    def challenge_ranking(self, experiment: str) -> str:
        """The ranking of the challenge that an experiment answers by."""
        return self.rankings(experiment)[1]

    def validation(self, experiment: str) -> list[str]:
        """The ranking that a threshold is fitted on, and its queries; nothing where none is."""
        if self.config.evaluation.abstaining is None:
            return []
        return [self.rankings(experiment)[-1], self.manifest("validation")]

    def abstaining(self, experiment: str) -> dict[str, Any]:
        """How the threshold of an experiment is fitted."""
        evaluation = self.config.evaluation
        return {
            **(evaluation.abstaining.model_dump() if evaluation.abstaining else {}),
            "confidence": evaluation.confidence,
            "seed": evaluation.seed,
            "by_distance": self.experiments[experiment].ranked_by_distance,
        }

    def member_rankings(self, experiment: str) -> list[str]:
        """The rankings of all experiments that this one is combined from, search after search."""
        every = [self.rankings(name) for name in self.experiments[experiment].members]
        return [file for files in zip(*every, strict=True) for file in files]

    def training_history(self, experiment: str) -> Files:
        """The history of a network's training; none without a network."""
        trained = self.experiments[experiment].kind == "network"
        return self.results.file(f"models/{experiment}/history.csv") if trained else []

    def pictures_of(self, experiment: str) -> tuple[str, ...]:
        """The pictures of its vectors and its network: of those asked for, what it has.

        Of experiments that differ in their seed only, the first is drawn.
        """
        if experiment in self._other_seeds:
            return ()
        asked, wanted = self.experiments[experiment], self.config.evaluation.explanations
        has = {"map": asked.kind != "fused_rankings", "similarity": asked.is_seen_in_maps}
        return tuple(name for name in has if has[name] and name in wanted)

    def explanations(self, experiment: str) -> list[str]:
        """The pictures that explain an experiment, beside those of its evaluation."""
        asked = self.experiments[experiment]
        seen = "similarity" in self.pictures_of(experiment)
        names = [f"evaluation/{experiment}/similarity.png"] if seen else []
        if asked.kind == "vocabulary":
            names.append(f"vocabularies/{experiment}.png")
        names += [f"rankings/{experiment}{step.picture}" for step in asked.steps if step.picture]
        return [*map(self.results.file, names)]

    @property
    def evaluations(self) -> dict[str, list[str]]:
        """What follows the name of an evaluating rule -> its experiments: what it draws differs."""
        rules: dict[str, list[str]] = {}
        for name, each in self.experiments.items():
            drawn = {"network": each.kind == "network", "map": "map" in self.pictures_of(name)}
            suffix = "".join(f"__{what}" for what, is_drawn in drawn.items() if is_drawn)
            rules.setdefault(suffix, []).append(name)
        return rules

    def upstream_records(self, experiment: str) -> list[str]:
        """The records of every job that an experiment's accuracy rests on."""
        asked = self.experiments[experiment]
        outputs = self.data_outputs()
        for name in asked.members:
            outputs += self._vector_outputs(name)
            if asked.kind == "fused_rankings":
                outputs += self.experiments[name].rankings()
        outputs += self._vector_outputs(experiment) + asked.rankings()
        return [self.results.file(f"{name}.record.json") for name in dict.fromkeys(outputs)]

    def _vector_outputs(self, experiment: str) -> list[str]:
        """What the experiment's own jobs left, up to the vectors that it searches."""
        asked = self.experiments[experiment]
        if asked.kind == "fused_rankings":
            return []
        names: list[str] = []
        if asked.kind == "network":
            names += ["manifests/augmented"] if self.augmented_copies(experiment) else []
            names += [f"weights/{asked.pretrained}"] if asked.pretrained else []
            names += [self._rows(experiment)] if self.training_rows(experiment) else []
        reduced = bool(asked.get("reduction"))
        made = [extraction_record(experiment, reduced=each) for each in {False, reduced}]
        return [*names, *asked.learned, *sorted(made)]

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
