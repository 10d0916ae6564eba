"""The machine that figures were measured on."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = (
    "numpy",
    "tensorflow",
    "keras",
    "openvino",
    "onnxruntime",
    "scikit-learn",
    "faiss-cpu",
    "opencv-python-headless",
    "pillow",
    "snakemake",
    "mlflow",
)

_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_tile")


@dataclass(frozen=True)
class Machine:
    """What the figures depend on.

    memory_gb: of 10^9 bytes. load: processes at work in the minute before the first measurement;
        above 1, others shared the processor. instructions: vector units, where they are known.
    """

    processor: str
    cores: int
    memory_gb: float
    instructions: tuple[str, ...]
    system: str
    libraries: dict[str, str]
    load: float

    @classmethod
    def here(cls) -> "Machine":
        """This one, now."""
        facts = _processor_facts()
        return cls(
            processor=facts.get("model name") or platform.processor() or platform.machine(),
            cores=threads(),
            memory_gb=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9,
            instructions=tuple(
                each for each in _INSTRUCTIONS if each in facts.get("flags", "").split()
            ),
            system=f"{platform.system()}, Python {platform.python_version()}",
            libraries={name: found for name in LIBRARIES if (found := _version(name))},
            load=os.getloadavg()[0],
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """For people."""
        with_them = f" ({', '.join(self.instructions)})" if self.instructions else ""
        libraries = ", ".join(f"{name} {number}" for name, number in self.libraries.items())
        return (
            f"{self.processor}{with_them}, {self.cores} cores, {self.memory_gb:.0f} GB; "
            f"{self.system}",
            libraries,
            f"load average at the start: {self.load:.2f}",
        )


def threads() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor_facts() -> dict[str, str]:
    """What Linux says of the first processor; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): text.strip() for name, _, text in pairs}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
