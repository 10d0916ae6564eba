"""The page in a real browser: what a person does with it, by the server and from a folder."""

import csv
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from browsed import CLASSES, DOMAINS, EXPERIMENTS, HOSTILE, RIGHT_TO_LEFT, doubted
from looking import served
from PIL import Image

from gallerist.browse.export import export_page
from gallerist.data.corrections import read_corrections
from gallerist.search.ranking import Ranking

WIDTHS = (1280, 390)
SECONDS = 10
FIRST = """
return [...document.querySelectorAll(arguments[0])].find(
    each => each.textContent.includes(arguments[1])) ?? null
"""
WITHIN_SIGHT = """
const within = each => {
    const place = each.getBoundingClientRect();
    return place.top < innerHeight && place.left < innerWidth;
};
const all = [...document.images].filter(within);
return [all.filter(each => each.complete && each.naturalWidth).length, all.length];
"""


@pytest.fixture(scope="module")
def address(finished):
    with served(finished) as found:
        yield f"{found}#/small"


@pytest.fixture
def page(chromium):
    """The browser at 1280 pixels; a test that leaves an error in its console fails."""
    resize(chromium, 1280)
    chromium.get_log("browser")
    yield Page(chromium)
    # A refused upload is an answer with an error status, which Chromium notes too.
    errors = [
        each["message"]
        for each in chromium.get_log("browser")
        if "api/uploads" not in each["message"]
    ]
    chromium.get("about:blank")
    assert errors == []


def resize(driver, width, height=900):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


class Page:
    """What a test does in the browser. clicks: of the mouse, for those that count them."""

    def __init__(self, driver):
        self.driver, self.clicks = driver, 0

    def open(self, url):
        self.driver.get("about:blank")
        self.driver.get(url)
        self.until("h1")

    def until(self, selector, having=""):
        """The first element with this text, once it is there."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if found := self.driver.execute_script(FIRST, selector, having):
                return found
            time.sleep(0.05)
        shown = self.driver.execute_script("return document.body.textContent")
        raise AssertionError(f"no {selector} with {having!r}: {shown[:800]}")

    def until_gone(self, selector):
        end = time.monotonic() + SECONDS
        while self.all(selector):
            assert time.monotonic() < end, selector
            time.sleep(0.05)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def text(self, element):
        return self.driver.execute_script("return arguments[0].textContent", element)

    def texts(self, selector):
        return [self.text(each) for each in self.all(selector)]

    def click(self, selector, having=""):
        self.clicks += 1
        self.until(selector, having)
        time.sleep(0.1)  # until the page is no longer made anew
        found = self.until(selector, having)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def choose(self, label, value):
        """Choose an option of the field with this label, as the mouse would."""
        self.driver.execute_script(
            "const field = [...document.querySelectorAll('.field')].find("
            "each => each.querySelector('span').textContent === arguments[0]);"
            "const chosen = field.querySelector('select'); chosen.value = arguments[1];"
            "chosen.dispatchEvent(new Event('change', {bubbles: true}))",
            *(label, value),
        )

    def press(self, key):
        self.driver.find_element("css selector", "body").send_keys(key)

    def press_where_it_is(self, keys):
        """Press keys without a click before, so that the focus stays."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(keys).perform()

    def overflows(self):
        return self.driver.execute_script(
            "return document.documentElement.scrollWidth > innerWidth + 1"
        )

    def loaded_pictures(self):
        """How many pictures within sight are shown, and how many are not."""
        return self.driver.execute_script(WITHIN_SIGHT)


def ranking(finished, name):
    return Ranking.read(finished.folder / f"rankings/{name}.csv")


def test_the_overview_answers_first(page, address, finished):
    page.open(address)
    with (finished.folder / "comparison/comparison.csv").open() as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    best = max(rows, key=lambda name: float(rows[name]["top-1"]))
    right = round(float(rows[best]["top-1"]) * 12)
    assert f"{best} finds a right picture first for {right} of 12 queries" in page.text(
        page.until("h1")
    )
    assert "cannot be told apart from" in page.text(page.until(".lead"))
    table = page.until(".numbers")
    for name in EXPERIMENTS:
        assert f"{float(rows[name]['mAP']):.3f}" in page.text(table)
    assert len(page.all(".chart svg path")) >= 2 * len(EXPERIMENTS)


def test_queries_are_filtered_and_ordered(page, address, finished):
    page.open(f"{address}/queries?e=hog")
    assert len(page.all(".card")) == 12
    page.choose("First answers", "no")
    labels, own = finished.gallery.label_of, finished.queries.label_of
    found = ranking(finished, "hog")
    wrong = [
        query
        for query, answers in zip(found.query_ids, found.answers, strict=True)
        if labels[answers[0]] != own[query]
    ]
    page.until(".counted", f"{len(wrong)} queries")
    shown = [card.get_attribute("href").split("/query/")[1][:16] for card in page.all(".card a")]
    assert sorted(shown) == sorted(wrong)
    page.choose("First answers", "")
    page.choose("Class", CLASSES[0])
    page.until(".counted", "4 queries")
    page.choose("Class", "")
    page.choose("Order", "close")
    page.until(".counted", "12 queries")
    nearest = {
        query: min(d for a, d in zip(answers, distances, strict=True) if labels[a] != own[query])
        for query, answers, distances in zip(
            found.query_ids, found.answers, found.distances, strict=True
        )
    }
    shown = [card.get_attribute("href").split("/query/")[1][:16] for card in page.all(".card a")]
    assert [round(nearest[query], 4) for query in shown] == sorted(
        round(each, 4) for each in nearest.values()
    )


def shown_queries(page):
    return [card.get_attribute("href").split("/query/")[1][:16] for card in page.all(".card a")]


@pytest.mark.parametrize("form", ["server", "folder"])
def test_queries_are_filtered_by_domain(page, address, folder, finished, form):
    start = address if form == "server" else f"{(folder / 'index.html').as_uri()}#/small"
    of_sketches = finished.queries.ids[1::3]
    page.open(f"{start}/queries?e=hog&sort=given")
    page.choose("Domain", DOMAINS[1])
    page.until(".counted", "4 queries of 12")
    assert shown_queries(page) == of_sketches
    page.click(".card a")
    page.until(".pager", "1 of 4")
    assert f"domain {DOMAINS[1]}" in page.text(page.until(".queried"))
    page.open(f"{start}/experiment/hog")
    page.click("th a", DOMAINS[0])
    page.until(".counted", "8 queries of 12")
    assert not set(shown_queries(page)) & set(of_sketches)
    page.choose("First answers", "no")
    page.until_gone(".card:nth-child(8)")
    wrong = set(shown_queries(page))
    page.choose("Domain", "")
    page.until(".filters")
    assert wrong <= set(shown_queries(page))


def test_without_domains_there_is_nothing_to_choose(page, own):
    with served(own) as place:
        page.open(f"{place}#/small/queries")
        assert "Class" in page.texts(".field span")
        assert "Domain" not in page.texts(".field span")
        page.driver.get("about:blank")


def test_a_name_is_searched_for(page, address):
    page.open(f"{address}/queries")
    field = page.until("input[type=search]")
    field.send_keys("QUOTED\n")
    page.until(".counted", "1 query of 12")
    assert page.driver.switch_to.active_element.get_attribute("type") == "search"


def test_one_query_by_two_experiments_and_the_next_by_a_key(page, address, finished):
    query = finished.queries.ids[3]
    page.open(f"{address}/query/{query}?sort=given")
    assert len(page.all(".answered")) == 2
    for name in EXPERIMENTS:
        shown = page.texts(f".answered[aria-label={name}] .answer .small")
        distances = ranking(finished, name).distances[3][:10]
        assert [float(text) for text in shown] == pytest.approx(distances, abs=5e-4)
    first = page.all(".answered[aria-label=hog] .answer")[0].get_attribute("class").split()[1]
    label = finished.gallery.label_of[ranking(finished, "hog").answers[3][0]]
    assert first == ("right" if label == finished.queries.pictures[3].label else "wrong")
    page.click(".answered[aria-label=hog] .plain", "More answers")
    end = time.monotonic() + SECONDS
    while len(page.all(".answered[aria-label=hog] .answer")) < 18 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(page.all(".answered[aria-label=hog] .answer")) == 18
    page.press("\ue014")  # the arrow to the right
    page.until(".pager", "5 of 12")
    assert finished.queries.ids[4] in page.driver.current_url
    page.press("k")
    page.until(".pager", "4 of 12")


def test_a_pair_shows_its_key_points_and_closes_by_escape(page, address, finished):
    page.open(f"{address}/query/{finished.queries.ids[0]}?with=hog")
    page.click(".answer button")
    page.until("dialog h2", "hog, rank 1")
    page.click("dialog .button", "Key points")
    page.until("dialog .small", "key points")
    page.driver.switch_to.active_element.send_keys("\ue00c")
    page.until_gone("dialog")
    assert "answer" in page.driver.switch_to.active_element.find_element(
        "xpath", "./.."
    ).get_attribute("class")


def test_a_picture_is_chosen_and_searched_and_an_answer_is_the_next_query(
    page, address, finished, tmp_path
):
    path = tmp_path / "mine.png"
    pixels = np.random.default_rng(1).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    page.open(f"{address}/search")
    page.all("#file")[0].send_keys(str(path))
    page.until(".answered[aria-label=colour] .heading", "not in the data set")
    page.until(".answered[aria-label=hog] .answer")
    page.click(".answered[aria-label=hog] .answer button")
    page.click("dialog a", "Search with this answer")
    page.until(".answered[aria-label=hog] .heading", "that the data set has")
    assert "picture=" in page.driver.current_url


def test_a_region_is_drawn_and_searched(page, address, finished):
    from selenium.webdriver import ActionChains

    page.open(f"{address}/search?picture={finished.queries.ids[0]}&with=colour")
    page.until(".answered .answer")
    image = page.until(".crop img")
    assert page.all(".queried .button")[0].get_attribute("disabled")
    actions = ActionChains(page.driver).move_to_element_with_offset(image, -60, -40)
    actions.click_and_hold().move_by_offset(110, 70).release().perform()
    page.click(".queried .button", "Search this region")
    page.until(".eyebrow", "Your picture")
    page.until(".answered .heading", "not in the data set")
    assert "upload=" in page.driver.current_url


def test_what_is_no_picture_is_refused_in_words(page, address, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_text("I am a photo, believe me")
    page.open(f"{address}/search")
    page.all("#file")[0].send_keys(str(path))
    page.until(".notice", "not an image: text")


def test_marks_are_written_and_taken_back_and_leaks_are_judged(page, own):
    file = own.root.parent / "corrections/small.csv"
    pictures = {path: path.read_bytes() for path in (own.folder / "source").rglob("*.png")}
    query = own.queries.ids[1]
    with served(own) as address:
        page.open(f"{address}#/small/query/{query}")
        page.click(".queried summary")
        page.click(".marking .button", "Picture is bad")
        page.until(".queried .flag", "marked")
        assert f"{query},bad,," in file.read_text(encoding="utf-8")
        page.open(f"{address}#/small/queries?flagged=1")
        page.until(".counted", "1 query")
        page.open(f"{address}#/small/review")
        page.until("#leaks", "(1)")
        page.click(".leaks .button", "It is a leak")
        page.until("#marked", "(2)")
        leaked = own.queries.ids[0]
        assert f"{leaked},leak,query:{leaked}," in file.read_text(encoding="utf-8")
        page.click(".leaks .button", "It is none")
        page.until(".marked", "no leak")
        assert f"{leaked},leak,no:{leaked}," in file.read_text(encoding="utf-8")
        page.click(".marked .button", "Take back")
        page.until("#marked", "(1)")
        page.driver.get("about:blank")
    assert pictures == {path: path.read_bytes() for path in pictures}


def test_doubtful_labels_are_decided_by_the_keyboard_and_by_clicks(page, own):
    first, second, third = doubted(own)

    def said():
        found = read_corrections(own.root.parent / "corrections/small.csv")
        return {each.picture: each.value for each in found}

    with served(own) as address:
        page.open(f"{address}#/small/review")
        page.until("#doubts", "(3)")
        page.press_where_it_is("y")
        page.until("#marked", "(1)")
        page.press_where_it_is("n")
        page.until("#marked", "(2)")
        assert said() == {first.picture: first.suggested, second.picture: second.label}
        page.press_where_it_is("kkn")
        page.until(".doubts li:first-child [aria-pressed=true]", f"It is {first.label}")
        page.click(".doubts li:nth-child(3) .button", f"It is {third.suggested}")
        page.until("#marked", "(3)")
        assert said()[first.picture] == first.label
        assert said()[third.picture] == third.suggested
        page.click(".doubts li:nth-child(3) .button", f"It is {third.suggested}")
        page.until("#marked", "(2)")
        page.driver.get("about:blank")


def test_differences_are_counted_and_lead_to_their_queries(page, address, finished):
    page.open(f"{address}/differences?a=hog&b=colour")
    labels, own = finished.gallery.label_of, finished.queries.label_of
    right = {
        name: [
            labels[answers[0]] == own[query]
            for query, answers in zip(found.query_ids, found.answers, strict=True)
        ]
        for name, found in ((each, ranking(finished, each)) for each in EXPERIMENTS)
    }
    pairs = list(zip(right["hog"], right["colour"], strict=True))
    expected = {
        "won": pairs.count((True, False)),
        "lost": pairs.count((False, True)),
        "neither": pairs.count((False, False)),
        "both": pairs.count((True, True)),
    }
    assert {name: int(page.text(page.until(f".{name} .big"))) for name in expected} == expected
    cells = [text for text in page.texts(".confusion td.diagonal") if text]
    assert sum(map(int, cells)) == sum(right["hog"]) + sum(right["colour"])
    page.click(".both h2 a")
    page.until(".counted", f"{expected['both']} quer")
    page.open(f"{address}/differences?a=hog&b=colour")
    page.click(".confusion td a")
    page.until(".counted", "first answer")


def test_names_are_shown_as_they_are_and_do_nothing(page, address, finished):
    page.open(f"{address}/queries")
    names = page.texts(".card .name")
    assert {Path(path).name for path in finished.queries.paths} == set(names)
    assert RIGHT_TO_LEFT + ".png" in names
    hostile = next(each for each in finished.queries if each.label == HOSTILE)
    page.open(f"{address}/query/{hostile.id}")
    assert HOSTILE in page.text(page.until("h1"))
    assert page.driver.title.startswith(HOSTILE[:10])
    assert page.all("img[src=x], main script") == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_view_is_wider_than_the_screen(page, address, finished, width):
    resize(page.driver, width)
    views = ("", "/queries", "/differences", "/search", "/review", "/experiment/hog")
    for view in (*views, f"/query/{finished.queries.ids[3]}"):
        page.open(f"{address}{view}")
        time.sleep(0.3)
        assert not page.overflows(), view


def test_all_is_reached_by_the_keyboard_and_said(page, address, finished):
    page.open(f"{address}/query/{finished.queries.ids[0]}")
    page.press("\ue004")  # Tab
    assert "To the content" in page.driver.switch_to.active_element.text
    unnamed = page.driver.execute_script(
        "return [...document.querySelectorAll('a, button, input, select')].filter(e => "
        "!(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert unnamed == []
    assert page.driver.execute_script("return [...document.images].filter(e => !e.alt).length") == 0
    page.click("nav a", "Differences")
    page.until("h1", "against")
    assert page.driver.switch_to.active_element.tag_name == "h1"


def test_one_of_several_data_sets_is_chosen(page, own):
    shutil.copytree(own.folder, own.root / "second")
    with served(own) as address:
        page.open(address)
        page.until("h1", "Data sets")
        assert page.texts(".data-sets strong") == ["second", "small"]
        page.click(".data-sets a", "second")
        page.until(".eyebrow", "second")
        assert page.texts(".data-set option") == ["second", "small"]
        page.driver.execute_script(
            "const chosen = document.querySelector('.data-set select'); chosen.value = 'small';"
            "chosen.dispatchEvent(new Event('change'))"
        )
        page.until(".eyebrow", "small")
        page.driver.get("about:blank")  # before the server ends


def test_dark_and_light_can_be_chosen(page, address):
    def ground():
        return page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")

    page.open(address)
    before = ground()
    page.click(".theme")
    assert ground() != before
    page.open(address)
    assert ground() != before
    page.click(".theme")
    assert ground() == before


def test_the_three_questions_of_a_newcomer(page, address, tmp_path):
    """Which is best, and is it sure; what does it get wrong, and why; does it find mine."""
    page.open(address)
    assert "finds a right picture first for" in page.text(page.until("h1"))
    assert "interval" in page.text(page.until(".lead"))
    assert page.clicks == 0
    page.click(".pairings .query")
    page.until(".answered .answer")
    page.click(".answered .answer button")
    page.click("dialog .button", "Key points")
    page.until("dialog .small", "key points")
    assert page.clicks == 3
    page.driver.switch_to.active_element.send_keys("\ue00c")
    page.until_gone("dialog")
    page.open(address)
    page.clicks = 0
    page.click(".button", "Try your own picture")
    path = tmp_path / "mine.png"
    Image.new("RGB", (40, 40), "red").save(path)
    page.until("#file").send_keys(str(path))
    page.until(".answered .answer")
    assert page.clicks == 1


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory):
    target = tmp_path_factory.mktemp("exported") / "page"
    export_page(finished.root, target)
    return target


def test_the_exported_folder_opens_without_a_server_on_the_answer(page, folder, finished):
    address = f"{(folder / 'index.html').as_uri()}#/small"
    for width in WIDTHS:
        resize(page.driver, width)
        page.open(address)
        page.until("h1", "finds a right picture first for")
        page.until(".pairings .answer")
        time.sleep(0.3)
        shown, there = page.loaded_pictures()
        assert shown == there
        assert not page.overflows()
    resize(page.driver, 1280)
    page.click("nav a", "Queries")
    page.until(".card")
    page.click(".card a")
    page.until(".answered .answer")
    page.click(".answer button")
    page.until("dialog h2")
    page.click("dialog .close")
    page.open(f"{address}/differences?a=hog&b=colour")
    page.until(".quarters")
    page.open(f"{address}/experiment/hog")
    page.until(".figures img")
    page.open(f"{address}/review")
    page.until(".doubts li")
    assert page.all(".doubts button") == []
    assert page.texts("nav a") == ["Overview", "Queries", "Differences", "Review"]
