"""Photograph MLflow's pages of finished results, for docs/tracking.md.

    python docs/screenshots.py --configfile config/config.yaml --experiment together

Needs selenium, Chromium and its driver. The UI is started on a free port of 127.0.0.1 and stopped;
the browser begins with an empty profile.
"""

import argparse
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from gallerist.config.completion import read
from gallerist.tracking.client import connect
from gallerist.tracking.experiment_page import address
from gallerist.tracking.store import resolve_uri

BROWSER = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)
SETTLED = 12.0
"""Seconds that a page is given to draw its tables and charts."""
COLOURS = 128
"""Of a picture: few enough for a small file, without a visible loss on a page of text."""


@contextmanager
def served(store: str) -> Iterator[str]:
    """MLflow's UI on a store, while it is needed. Yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store, *options]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(command, env={**os.environ, **quiet})
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def browser(width: int, height: int) -> Iterator[Any]:
    """A browser without a window that knows nothing of anybody."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        size = f"--window-size={width},{height}"
        for argument in (*BROWSER, size, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        driver = os.environ.get("CHROMEDRIVER", "/usr/bin/chromedriver")
        opened = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield opened
        finally:
            opened.quit()


def photograph(opened: Any, url: str, path: Path, click: str | None = None) -> None:
    """Write what a page looks like as a small PNG. click: text of a button to press first."""
    from selenium.webdriver.common.by import By

    opened.get("about:blank")
    opened.get(url)
    time.sleep(SETTLED)
    if click is not None:
        for found in opened.find_elements(By.XPATH, f"//*[text()='{click}']")[:1]:
            found.click()
        time.sleep(2)
    picture = Image.open(io.BytesIO(opened.get_screenshot_as_png())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Photograph the list of rows, the charts and the page of one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", default="config/config.yaml")
    parser.add_argument("--experiment", default="together", help="whose page is shown")
    parser.add_argument("--folder", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    config = read(options.configfile)
    store = resolve_uri(config["tracking"]["uri"], "results")
    client = connect(store)
    identity = client.get_experiment_by_name(config["dataset"]["name"]).experiment_id
    wanted = f"tags.current = 'true' AND tags.`gallerist.experiment` = '{options.experiment}'"
    (row,) = client.search_runs([identity], wanted)
    with served(store) as root, browser(1700, 1100) as opened:
        opened.get(root)
        for name, value in {  # the assistant's panel would cover a third of the page
            "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
            "mlflow.assistant.panelOpen_v1": "false",
        }.items():
            opened.execute_script(f"localStorage.setItem('{name}', '{value}')")
        page = f"{root}/#/experiments/{identity}/runs/{row.info.run_id}"
        page = f"{page}?workflowType=machine_learning"
        for url, name, click in (
            (address(root, identity), "mlflow_table.png", None),
            (address(root, identity, charts=True), "mlflow_charts.png", None),
            (page, "mlflow_run.png", "Show more"),
        ):
            photograph(opened, url, options.folder / name, click)


if __name__ == "__main__":
    main()
