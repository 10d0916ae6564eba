"""Section `registry`: experiments that become models in MLflow's registry."""

from typing import Annotated

from gallerist.settings.base import ALL_DIFFER, Settings, key
from gallerist.settings.texts import Text


class Registry(Settings):
    """Experiments that become models in MLflow's registry, to be served: docs/registry.md.
    `gallerist register` and `snakemake register_models` do it when it is wanted.
    """

    experiments: Annotated[list[Text], ALL_DIFFER] = key(
        [], expects="a list of experiments, or [best]", example=["best"]
    )
    """Those that every run registers at its end; `best` is the one with the highest mean of the
    metric in `decided_by`. `[]`: none."""
