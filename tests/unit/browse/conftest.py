"""What the tests of the page share: results that are only read, a client, a browser."""

import shutil
import tempfile

import pytest
from browsed import DOMAINS, browsed
from looking import client_of

BROWSER = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Results that no test changes."""
    return browsed(tmp_path_factory.mktemp("browsed") / "results", domains=DOMAINS)


@pytest.fixture
def own(tmp_path):
    """Results that a test may change."""
    return browsed(tmp_path / "results")


@pytest.fixture
def client(finished):
    with client_of(finished) as found:
        yield found


@pytest.fixture(scope="session")
def chromium():
    """A browser without a window that knows nothing of anybody."""
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        pytest.skip("there is no Chromium with its driver here (apt-get install chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for argument in (*BROWSER, "--window-size=1280,900", f"--user-data-dir={profile}"):
            options.add_argument(argument)
        opened = webdriver.Chrome(options=options, service=Service(paths[1]))
        try:
            yield opened
        finally:
            opened.quit()
