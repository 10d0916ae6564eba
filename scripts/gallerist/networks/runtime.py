"""TensorFlow as every job that computes with it needs it: its threads, its GPUs, no chance."""

import os

import cv2

from gallerist.io.imports import without
from gallerist.networks.inference import format_threads

NOT_FOR_KERAS = ("matplotlib", "pandas", "sklearn")
"""What Keras imports for pictures, tables and estimators that nobody makes with it here: two fifths
of the time that its import takes together with TensorFlow's."""


def configure(*, threads: int, gpu_precision: str = "float32") -> str:
    """Load TensorFlow and Keras, set this process up, and say what it computes on.

    To be called before anything else imports Keras.

    threads: processor threads for one operation; Snakemake's number for the job. More than there
        are processors are not used, because the last bits of a sum depend on their number.
    gpu_precision: "float32", "mixed_float16" or "mixed_bfloat16": Keras's policy for what is built
        from now on. Without a GPU it stays float32, because processors gain nothing by the others.

    Operations are made deterministic, so that the same configuration gives the same weights.

    GPUs are used where TensorFlow sees them; their memory is taken as needed, so that another
    process can share the card. Returns "CPU, 4 threads" or the names of the GPUs.
    """
    # Before TensorFlow loads: its start-up messages would bury the log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with without(*NOT_FOR_KERAS):
        import keras
        import tensorflow as tf

    threads = min(threads, os.cpu_count() or 1)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    cv2.setNumThreads(1)  # pictures are decoded side by side, each by one thread
    tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        return f"CPU, {format_threads(threads)}"
    # Recent cards would else round the factors of float32 products to 10 bits.
    tf.config.experimental.enable_tensor_float_32_execution(gpu_precision != "float32")
    keras.config.set_dtype_policy(gpu_precision)
    names = (
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus
    )
    return f"{', '.join(names)}, {gpu_precision}"
