"""What a stage and its machine were doing, against MLflow's own monitor and against work done."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from tracked import Runs, a_record, environment, running, store_in, wait_for

from gallerist.records.history import History
from gallerist.records.record import read_record, write_record
from gallerist.tracking.client import connect
from gallerist.tracking.runs import log_points, log_record, open_run
from gallerist.tracking.store import prepare
from gallerist.workflow import machine as machine_use
from gallerist.workflow.machine import MachineUse, parse_gpu_use

OF_THE_MACHINE = {
    "system/cpu_utilization_percentage",
    "system/system_memory_usage_megabytes",
    "system/system_memory_usage_percentage",
}
OF_THE_PROCESS = {"system/process_cores_used", "system/process_memory_megabytes"}


def seen_after(machine, looks):
    """What a watcher has seen when there have been so many looks."""
    name = "system/process_cores_used"
    wait_for(lambda: len(machine._seen.get(name, ())) >= looks)
    return machine.stop()


@pytest.fixture
def often(monkeypatch):
    """A look every 20 ms."""
    monkeypatch.setattr(machine_use, "_INTERVAL", 0.02)


def test_the_names_of_the_machine_are_those_that_mlflow_gives_them(often):
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor

    monitor = CPUMonitor()
    monitor.collect_metrics()
    assert {f"system/{name}" for name in monitor.aggregate_metrics()} == OF_THE_MACHINE
    assert set(seen_after(MachineUse(), 1)) >= OF_THE_MACHINE | OF_THE_PROCESS


def test_a_machine_at_work_is_seen_at_work(often):
    """One core at work, 200 MB held, 30 MB written, in a process of its own."""
    code = """
import json, os, sys, time
from gallerist.workflow import machine as machine_use
machine_use._INTERVAL = 0.5
machine = machine_use.MachineUse()
held = bytearray(os.urandom(1 << 20)) * 200
with open(sys.argv[1], "wb") as file:
    file.write(os.urandom(30_000_000)); file.flush(); os.fsync(file.fileno())
began = time.process_time()
while time.process_time() - began < 3: pass
used = time.process_time()
print(json.dumps([machine.stop(), used]))
"""
    target = Path.cwd() / f".machine_use_{os.getpid()}"  # not on a file system in memory
    try:
        answer = subprocess.run(
            [sys.executable, "-c", code, str(target)],
            check=True, capture_output=True, text=True, env=environment(),
        )  # fmt: skip
    finally:
        target.unlink(missing_ok=True)
    seen, used = json.loads(answer.stdout)
    last = {name: points[-1][1] for name, points in seen.items()}
    assert 200 <= last["system/process_memory_megabytes"] < 400
    cores = [value for _, value in seen["system/process_cores_used"]]
    assert 0 < max(cores) < 1.3
    assert sum(cores) * 0.5 <= used + 0.5
    if hasattr(psutil.Process, "io_counters"):
        assert last["system/process_written_megabytes"] >= 29
    for name in OF_THE_MACHINE & {name for name in seen if name.endswith("percentage")}:
        assert all(0 <= value <= 100 for _, value in seen[name])


def test_a_long_stage_keeps_few_points_evenly_spread(monkeypatch):
    monkeypatch.setattr(machine_use, "_INTERVAL", 1000)
    machine, clock = MachineUse(), [0.0]
    monkeypatch.setattr(machine_use.time, "monotonic", lambda: machine._started + clock[0])
    while clock[0] < 3_600_000:  # forty days
        clock[0] += machine._interval
        machine._keep({"system/a": clock[0]})
    (points,) = machine.stop().values()
    seconds = [second for second, _ in points]
    assert machine_use.POINTS // 2 <= len(points) < machine_use.POINTS
    assert len({b - a for a, b in pairwise(seconds)}) == 1
    assert all(second == value for second, value in points)
    assert 3_600_000 - seconds[-1] < 2 * machine._interval


def test_nothing_is_reported_after_the_end(often):
    told = []
    machine = MachineUse(lambda second, values: told.append(second))
    seen_after(machine, 3)
    before = len(told)
    assert before >= 3
    time.sleep(0.2)
    assert len(told) == before


def test_a_quick_stage_has_no_curves():
    assert MachineUse().stop() == {}


def test_looking_loads_nothing_heavy():
    code = "import json, sys, gallerist.workflow.machine; print(json.dumps([*sys.modules]))"
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment()
    )
    assert not {"numpy", "mlflow", "pynvml"} & set(json.loads(answer.stdout))


# --- in the record and in MLflow

USE = {"system/process_memory_megabytes": [(2, 101.25), (4, 150.0), (7, 149.5)]}


def test_the_record_keeps_it(tmp_path):
    record = a_record("monkeys", machine_use=USE)
    write_record(tmp_path / "record.json", record)
    assert read_record(tmp_path / "record.json") == record


def test_a_record_from_before_has_none(tmp_path):
    value = a_record("monkeys").to_json()
    del value["machine_use"]
    (tmp_path / "record.json").write_text(json.dumps(value))
    assert read_record(tmp_path / "record.json").machine_use == {}


def test_mlflow_gets_it_from_the_record_at_the_time_it_was_seen(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = store_in(tmp_path)
    prepare(store.uri, store.artifact_root, ["monkeys", "monkeys/stages"])
    client = connect(store.uri)
    record = a_record("monkeys", machine_use=USE)
    # The first two came while the stage was at work; the second sample came a second late.
    run_id = open_run(client, replace(running(record), machine_use={}))
    name, began = "system/process_memory_megabytes", 1767261600000
    log_points(client, run_id, [(name, 2, 101.25, began + 2003), (name, 4, 150.0, began + 4800)])
    assert log_record(client, record)
    (run,) = Runs(tmp_path).of("monkeys/stages")
    assert run["machine"] == [(name, 2, 101.25, 0), (name, 4, 150.0, 0), (name, 7, 149.5, 0)]
    at = Runs(tmp_path).query("SELECT timestamp FROM metrics WHERE key=? ORDER BY step", name)
    assert at == [(began + 2003,), (began + 4800,), (began + 7000,)]


def test_samples_from_their_thread_do_not_end_up_inside_what_the_stage_reports(tmp_path):
    loss = [(step, step / 7) for step in range(2000)]
    opening, history = running(a_record("monkeys")), History(tmp_path)
    history.begin(opening)

    def sample():
        for second in range(2000):
            history.add(opening, machine_use={"system/process_cores_used": [(second, 1.0)]})

    thread = threading.Thread(target=sample)
    thread.start()
    for point in loss:
        history.add(opening, curves={"loss": [point]})
    thread.join()
    (record,) = history.at_work()
    assert record.curves == {"loss": loss}
    assert len(record.machine_use["system/process_cores_used"]) == 2000


# --- cards: the answers of nvidia-smi 550 to 570, as its driver prints them


def test_each_card_has_its_load_and_its_memory():
    answer = "0, 37, 12345, 81559\n1, 0, 4, 81559\n"
    assert parse_gpu_use(answer) == {
        "system/gpu_0_utilization_percentage": 37.0,
        "system/gpu_0_memory_usage_megabytes": 12944.7,
        "system/gpu_0_memory_usage_percentage": 15.1,
        "system/gpu_1_utilization_percentage": 0.0,
        "system/gpu_1_memory_usage_megabytes": 4.2,
        "system/gpu_1_memory_usage_percentage": 0.0,
    }


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        # A card divided into instances does not tell its load; some do not tell their memory.
        ("0, [N/A], 512, 81559\n", {"memory_usage_megabytes", "memory_usage_percentage"}),
        ("0, 5, [Not Supported], [Not Supported]\n", {"utilization_percentage"}),
        ("No devices were found\n", set()),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure "
         "that the latest NVIDIA driver is installed and running.\n", set()),
        ("", set()),
    ],
)  # fmt: skip
def test_what_a_card_does_not_report_is_left_out(answer, names):
    assert set(parse_gpu_use(answer)) == {f"system/gpu_0_{name}" for name in names}


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no NVIDIA card here")
def test_the_cards_of_this_machine_are_those_that_nvidia_smi_lists(often):
    listed = subprocess.run(
        ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False
    ).stdout.count("GPU ")
    seen = seen_after(MachineUse(), 1)
    assert sum(name.endswith("memory_usage_megabytes") and "gpu" in name for name in seen) == listed
