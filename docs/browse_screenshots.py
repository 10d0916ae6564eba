"""Photograph the page of `gallerist browse` on finished results, for README.md and docs/browse.md.

    python docs/browse_screenshots.py --experiment efficientnet_lite2

Needs selenium, Chromium and its driver. The server takes a free port of 127.0.0.1 and is stopped.
"""

import argparse
import io
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from screenshots import browser

SETTLED = 3.0
"""Seconds that a page is given to show its pictures."""
NETWORK = 30.0
"""Seconds that a network is given to load, and to answer."""


@contextmanager
def served() -> Iterator[str]:
    """The page on the results of this folder. Yields its address."""
    program = "import sys; from gallerist.commands.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "browse", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait(30)


def resize(opened: Any, width: int, height: int) -> None:
    """Give the page that much room, in pixels."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def open_page(opened: Any, url: str, *, dark: bool = False) -> None:
    """Open an address anew, and wait for its pictures."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    opened.get("about:blank")
    opened.get(url)
    time.sleep(SETTLED)


def click(opened: Any, selector: str, text: str = "") -> None:
    """Press the first element that has this text."""
    found = [each for each in opened.find_elements("css selector", selector) if text in each.text]
    found[0].click()


def wait_for(opened: Any, selector: str) -> None:
    """Wait until an element is there; a network may have to load before."""
    end = time.monotonic() + NETWORK
    while not opened.find_elements("css selector", selector) and time.monotonic() < end:
        time.sleep(0.2)
    time.sleep(1)


def keep(opened: Any, path: Path) -> None:
    """Write what is seen as PNG."""
    picture = Image.open(io.BytesIO(opened.get_screenshot_as_png())).convert("RGB")
    picture.save(path, optimize=True)  # of fewer colours, small dots would lose theirs


def main() -> None:
    """Photograph every view, by day and on a telephone by night."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--experiment", default="efficientnet_lite2", help="whose queries are shown"
    )
    parser.add_argument("--folder", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args()
    name = options.experiment
    with served() as address, browser(1280, 900) as opened:
        resize(opened, 1280, 900)
        open_page(opened, address)
        keep(opened, options.folder / "browse_overview.png")
        open_page(opened, f"{address}/queries?e={name}&right=no&sort=disagree")
        keep(opened, options.folder / "browse_queries.png")
        query = opened.find_elements("css selector", ".card a")[0].get_attribute("href")
        open_page(opened, f"{query}&with={name},hog")
        keep(opened, options.folder / "browse_query.png")
        click(opened, f".answered[aria-label={name}] .answer button")
        click(opened, "dialog .button", "Where they match")
        wait_for(opened, "dialog img[src^=data]")
        keep(opened, options.folder / "browse_match.png")
        identifier = query.partition("/query/")[2].partition("?")[0]
        open_page(opened, f"{address}/search?picture={identifier}&with={name},hog")
        wait_for(opened, f".answered[aria-label={name}] .answer")
        keep(opened, options.folder / "browse_search.png")
        resize(opened, 1280, 1000)
        open_page(opened, f"{address}/differences?a={name}&b=hog")
        keep(opened, options.folder / "browse_differences.png")
        resize(opened, 390, 844)
        open_page(opened, address, dark=True)
        keep(opened, options.folder / "browse_telephone.png")


if __name__ == "__main__":
    main()
