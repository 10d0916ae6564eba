"""What MLflow runs of a registered model: the code of its artifact, instead of a pickled object.

It checks every file of the artifact before the library in it is imported.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

CONTENTS = "contents.json"
"""Beside the gallery's files: path in the model -> SHA-256, of all that is read and run."""

CHECKED = ("artifacts", "code")
"""Folders of the model in which there is nothing else."""


def check_contents(gallery: Path) -> None:
    """Raise RuntimeError, naming the file, unless all are as they were when they were packed.

    gallery: the folder `artifacts/gallery` of a model.
    """
    model = gallery.parents[1]
    expected = json.loads((gallery / CONTENTS).read_text(encoding="utf-8"))
    found = {
        file.relative_to(model).as_posix()
        for folder in CHECKED
        for file in (model / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    found.discard((gallery / CONTENTS).relative_to(model).as_posix())
    for name in sorted(found - set(expected)):
        raise RuntimeError(f"{model / name} does not belong to the registered model")
    for name, digest in expected.items():
        file = model / name
        if not file.is_file():
            raise RuntimeError(f"{file} of the registered model is missing")
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != digest:
                raise RuntimeError(
                    f"{file} has changed since the model was registered: register it again"
                )


class Searchable(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A gallery of one experiment: pictures in, ranked gallery pictures out."""

    def load_context(self, context: Any) -> None:
        """Check and load the artifact. Raises RuntimeError, and what does not fit together."""
        gallery = Path(context.artifacts["gallery"])
        check_contents(gallery)
        from gallerist.serving.gallery import SearchableGallery

        logging.getLogger("gallerist").setLevel(logging.WARNING)  # no progress of single pictures
        self._gallery = SearchableGallery(gallery)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """A row of answers a picture: see `answers.Answers`. params: answers, how many."""
        rows: Any = model_input.to_dict("records")
        if not rows and not model_input.columns.size:  # of others MLflow leaves nothing, not a row
            raise MlflowException.invalid_parameter_value(
                "the request has no picture: give rows with one of the columns path, bytes, base64"
            )
        try:
            found = self._gallery.rank(rows, (params or {}).get("answers", 10))
        except ValueError as error:  # a server answers 400, with the reason
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return pd.DataFrame([vars(each) for each in found])


mlflow.models.set_model(Searchable())
