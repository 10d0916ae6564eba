"""Who may ask the server what, and what the page may load."""

import io
import re
import struct
import zlib
from pathlib import Path

import pytest
from looking import client_of
from PIL import Image

from gallerist.browse.uploads import MAX_BYTES

POST = "/api/uploads"


def png_header(width, height):
    """A PNG of that size, all of one colour: small, however large the picture."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = zlib.compress(b"\0" * (1 + width // 8) * 10)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("host", ["127.0.0.1:5002", "localhost:5002", "localhost", "[::1]:5002"])
def test_this_machine_is_let_in(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5002", "127.0.0.1.evil.example", "192.168.0.7", ""]
)
def test_a_name_that_was_made_to_lead_here_is_refused(client, host):
    for path in ("/", "/api/index"):
        assert client.get(path, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:5002", "file://"],
)
def test_another_origin_is_refused(client, origin):
    assert client.get("/api/index", headers={"Origin": origin}).status_code == 403
    assert client.post(POST, content=b"", headers={"Origin": origin}).status_code == 403


def test_the_page_itself_may_ask(client):
    headers = {"Origin": "http://127.0.0.1:5002", "Sec-Fetch-Site": "same-origin"}
    assert client.get("/api/index", headers=headers).status_code == 200


def test_pictures_are_not_shown_in_other_pages(client, finished):
    path = f"/thumbnails/small/{finished.gallery.ids[0]}.jpg"
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client.get(path, headers=headers).status_code == 403
    assert client.get(path).headers["cross-origin-resource-policy"] == "same-origin"


def test_a_link_from_another_page_opens_the_page_and_nothing_else(client):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=headers).status_code == 200
    assert client.get("/api/index", headers=headers).status_code == 403


def test_a_form_of_another_page_changes_nothing(own):
    with client_of(own) as client:
        del client.headers["X-Gallerist"]
        body = {"picture": own.queries.ids[0], "action": "bad", "value": "", "note": ""}
        assert client.post("/api/small/corrections", json=body).status_code == 403
    assert not (own.root.parent / "corrections").exists()


def test_the_page_runs_only_its_own_scripts(client):
    for path in ("/", "/api/index", "/page/main.js", "/nothing"):
        policy = client.get(path).headers["content-security-policy"]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
        assert rules["frame-ancestors"] == rules["form-action"] == rules["base-uri"] == "'none'"
        assert client.get(path).headers["x-content-type-options"] == "nosniff"


def test_no_asset_comes_from_elsewhere_and_none_makes_markup_of_text(client):
    from gallerist.browse.app import PAGE

    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        found = set(re.findall(r"https?://[^\s\"'`<>)]+", text))
        assert found <= {"http://www.w3.org/2000/svg"}, path.name
        for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert unsafe not in text, path.name


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py",
        "/page/%2e%2e/app.py",
        "/page/..%2fapp.py",
        "/pictures/small/..%2f..%2fmanifests%2fgallery.csv",
        "/pictures/..%2f..%2fetc/passwd",
        "/thumbnails/small/..%2f..%2f..%2fsecret.jpg",
        "/figures/small/hog/..%2fmetrics.json",
        "/figures/small/..%2fhog/classes.png",
        "/api/..%2fsmall/overview",
        "/api/%2e%2e/overview",
        "/%2fetc/passwd",
    ],
)
def test_a_traversal_leads_nowhere(client, path):
    found = client.get(path)
    assert found.status_code == 404
    assert b"root:" not in found.content
    assert b"import" not in found.content


def test_a_manifest_that_names_a_foreign_file_does_not_give_it_away(own, tmp_path):
    """What lies in the place of a picture is served only where it is a picture."""
    secret = tmp_path / "secret.txt"
    secret.write_text("password")
    picture = own.gallery.pictures[0]
    Path(picture.path).unlink()
    Path(picture.path).symlink_to(secret)
    with client_of(own) as client:
        for path in (f"/pictures/small/{picture.id}", f"/thumbnails/small/{picture.id}.jpg"):
            found = client.get(path)
            assert found.status_code == 415
            assert b"password" not in found.content


def test_a_picture_of_300_megapixels_is_refused_by_its_header(client):
    data = png_header(20_000, 15_000)
    assert len(data) < 1_000_000
    found = client.post(POST, content=data)
    assert found.status_code == 415
    assert "20000x15000 pixels" in found.json()["error"]


def test_a_text_named_jpg_is_refused(client):
    found = client.post(POST, content=b"I am a photo, believe me", headers={"X-Name": "cat.jpg"})
    assert found.status_code == 415
    assert "not an image: text" in found.json()["error"]


@pytest.mark.parametrize("cut", [0, 1, 20, -20])
def test_a_truncated_or_empty_upload_is_refused(client, cut):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    found = client.post(POST, content=file.getvalue()[:cut])
    assert found.status_code == 415


def test_an_upload_is_read_no_further_than_its_limit(client):
    read = 0

    def endless():
        nonlocal read
        while read < 4 * MAX_BYTES:
            read += 2**20
            yield b"\x89PNG\r\n\x1a\n" + b"\0" * 2**20

    assert client.post(POST, content=endless()).status_code == 413


def test_what_is_sent_beside_pictures_is_small(client):
    found = client.post("/api/small/corrections", content=b"{" + b" " * 20_000 + b"}")
    assert found.status_code == 413


def test_uploads_go_with_the_server(finished):
    with client_of(finished) as client:
        file = io.BytesIO()
        Image.new("RGB", (64, 64), "red").save(file, "PNG")
        upload = client.post(POST, content=file.getvalue()).json()["id"]
        path = client.app.state.site.uploads.get(upload).path
        assert path.is_file()
    assert not path.exists()


def test_another_address_needs_the_token(finished):
    with client_of(finished, hosts=["gallery.local"], token="secret-token") as client:
        client.headers["Host"] = "gallery.local:5002"
        for path in ("/", "/api/index", "/?token=wrong", "/api/index?token=secret-token"):
            assert client.get(path).status_code == 401
        entered = client.get("/?token=secret-token", follow_redirects=False)
        cookie = entered.headers["set-cookie"]
        assert entered.status_code == 303
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        name, _, value = cookie.partition(";")[0].partition("=")
        headers = {"Cookie": f"{name}={value}"}
        assert client.get("/api/index", headers=headers).status_code == 200
        elsewhere = {**headers, "Host": "evil.example"}
        assert client.get("/api/index", headers=elsewhere).status_code == 403
        by_address = {**headers, "Host": "192.168.0.7:5002"}
        assert client.get("/api/index", headers=by_address).status_code == 200


def test_an_error_that_nobody_foresaw_says_nothing_of_the_code(finished, monkeypatch):
    from gallerist.browse.site import Site

    def broken(self):
        raise RuntimeError("/home/somebody/secret")

    monkeypatch.setattr(Site, "index", broken)
    with client_of(finished) as client:
        found = client.get("/api/index")
    assert found.status_code == 500
    assert "secret" not in found.text
