"""Section `compute`: what computes."""

from typing import Literal

from gallerist.settings.base import Count, Settings, key


class Compute(Settings):
    """What computes. Threads are Snakemake's affair (`--cores`)."""

    engine: Literal["auto", "openvino", "tensorflow"] = key("auto", noun="an engine")
    """What extracts features. `auto`: TensorFlow where it sees a GPU, else OpenVINO, which is
    faster on a processor and gives the same vectors. Training always runs on TensorFlow."""
    gpu_precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = key(
        "float32", noun="a precision"
    )
    """Numbers that a GPU computes with. The mixed ones are faster and round more: compare
    experiments of one precision only. Without a GPU it is always float32."""
    gpu_xla: bool = key(False)
    """Compiles networks with XLA on a GPU. On a processor it makes whole networks slower and is not
    used."""
    shards: Count = key(1, "jobs")
    """Jobs that extract the pictures of one experiment side by side, on several machines perhaps.
    The vectors are the same for any number."""
