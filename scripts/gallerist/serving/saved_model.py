"""A packed experiment saved as MLflow has its models: code and data, nothing pickled."""

import base64
import os
import shutil
from pathlib import Path
from typing import Any

from gallerist.io.files import PathLike
from gallerist.serving.gallery import example_picture
from gallerist.serving.package import CODE, GALLERY, Packed


def save(packed: Packed, path: PathLike) -> None:
    """Write the MLflow model: signature, example, environment and all. path: must not exist yet.

    Imports MLflow.
    """
    import mlflow
    import pandas as pd

    example = pd.DataFrame({"base64": [base64.b64encode(example_picture()).decode()]})
    mlflow.pyfunc.save_model(
        os.fspath(path),
        python_model=os.fspath(CODE),
        code_paths=[os.fspath(packed.folder / "code" / "gallerist")],
        artifacts={"gallery": os.fspath(packed.folder / GALLERY)},
        signature=_signature(),
        input_example=(example, {"answers": 3}),
        pip_requirements=list(packed.requirements),
        metadata={**packed.facts, "digest": packed.digest},
    )
    for cached in Path(path).rglob("__pycache__"):
        shutil.rmtree(cached)


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    texts, numbers = Array(DataType.string), Array(DataType.double)
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.string, "path", required=False),
                ColSpec(DataType.binary, "bytes", required=False),
                ColSpec(DataType.string, "base64", required=False),
            ]
        ),
        outputs=Schema(
            [
                ColSpec(texts, "names"),
                ColSpec(texts, "labels"),
                ColSpec(texts, "ids"),
                ColSpec(numbers, "distances"),
            ]
        ),
        params=ParamSchema([ParamSpec("answers", DataType.long, 10)]),
    )
