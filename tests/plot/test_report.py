import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import semrsm
from semrsm.cli import app

N = 6
LINKS = {"src", "srcset", "href", "action", "formaction", "data", "poster", "background", "ping"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page(HTMLParser):
    """The tags of a page, with the headings and cells in plain text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._tag = tag

    def handle_data(self, data):
        self.texts.append((self._tag, data))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def said(self, tag):
        return [text for name, text in self.texts if name == tag and text.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    rng = np.random.default_rng(11)
    folder = tmp_path_factory.mktemp("report")
    with h5py.File(folder / "dump.h5", "w") as file:
        file["layer<1>"] = rng.normal(size=(N, 3, 2, 2))
        file["labels"] = ["a<b>", "c&d"] * (N // 2)
        file["views"] = np.arange(N) // 2
        file["images"] = rng.integers(0, 255, (N, 3, 5, 6), dtype=np.uint8)
    for matcher in ("identity", "optimal"):
        out = folder / f"{matcher}.rsm.h5"
        semrsm.compute(folder / "dump.h5", out, layer=["layer*"], matcher=matcher)
    (folder / "table.csv").write_text(
        "a,layer_a,b,layer_b,kernel,measure,value\nx,1,y,1,rbf,cka,0.5\nx,1,y,2,rbf,cka,\n"
    )
    np.save(folder / "matrix.npy", rng.normal(size=(3, 5)))
    return folder


def report(folder: Path, out: Path, arguments: str) -> str:
    words = [word.replace("@", f"{folder}/") for word in arguments.split()]
    result = CliRunner().invoke(app, ["report", *words, "-o", str(out)])
    assert result.exit_code == 0, result.stderr
    return out.read_text()


ALL = (
    "@identity.rsm.h5 @optimal.rsm.h5 --labels @dump.h5 --views @dump.h5 --images @dump.h5"
    " --table @table.csv --title A<script>B"
)


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    report(folder, out, ALL)
    return out


def test_the_page_refers_to_nothing_outside_of_it(whole):
    text = whole.read_text()
    page = Page(text)
    assert "<script" not in text
    links = [v for _, a in page.tags for k, v in a.items() if k in LINKS]
    assert links
    assert all(str(link).startswith("data:") for link in links)
    assert not re.search(r"url\(|@import", text)
    assert {name for name, _ in page.tags}.isdisjoint({"script", "iframe", "object", "embed", "a"})
    policy = page.all("meta")[1]["content"]
    assert policy.startswith("default-src 'none'")


def test_every_picture_is_in_the_page_and_has_a_text(whole):
    pictures = Page(whole.read_text()).all("img")
    assert len(pictures) == 7
    for picture in pictures:
        kind, _, data = picture["src"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG\r\n")
        assert picture["alt"]


def test_the_page_says_what_the_rsms_are_and_how_they_were_made(whole, folder):
    page = Page(whole.read_text())
    assert page.said("h1") == ["A<script>B"]
    assert page.said("h2") == [
        "RSMs",
        "Heat maps",
        "Side by side: layer<1>",
        "Multidimensional scaling",
        "Dendrograms",
        "Retrieved images",
        "Comparison: table.csv",
        "Over layers: table.csv",
        "How they were made",
    ]
    rsm, _ = semrsm.read_rsm(folder / "optimal.rsm.h5")
    i, j = np.triu_indices(N, 1)
    same = i // 2 == j // 2
    cells = page.said("td")
    for value in (np.median(rsm[i, j]), np.median(rsm[i, j][same]), np.median(rsm[i, j][~same])):
        assert f"{value:.4g}" in cells
    for text in ("identity", "optimal", "cosine", "layer<1>"):
        assert text in cells
    assert "fingerprint" in "".join(page.said("code"))


def test_the_same_input_makes_the_same_page(folder, tmp_path):
    pages = [report(folder, tmp_path / f"{i}.html", "@optimal.rsm.h5") for i in (0, 1)]
    assert pages[0] == pages[1]


def test_a_plain_matrix_has_a_page(folder, tmp_path):
    np.save(folder / "square.npy", np.eye(5) + 0.1)
    page = Page(report(folder, tmp_path / "r.html", "@square.npy"))
    assert page.said("h2")[:2] == ["RSMs", "Heat maps"]
    assert "5" in page.said("td")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("@missing.rsm.h5", "does not exist"),
        ("@matrix.npy", "is a matrix of 3 x 5, no RSM"),
        ("@optimal.rsm.h5 --table @missing.csv", "cannot be read as a table"),
        ("@optimal.rsm.h5 --labels @dump.h5::nothing", "there is no array"),
        ("@optimal.rsm.h5 --images @dump.h5 --queries x", "has no sample 'x', as it holds no ids"),
        ("@optimal.rsm.h5 --queries 0", "no images are given; give --images FILE::name"),
    ],
)
def test_what_cannot_be_reported_is_said_and_nothing_is_written(folder, tmp_path, arguments, said):
    words = arguments.replace("@", f"{folder}/").split()
    result = CliRunner().invoke(app, ["report", *words, "-o", str(tmp_path / "r.html")])
    assert result.exit_code == 1
    assert said in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_page_that_is_there_is_replaced_only_when_asked(folder, tmp_path):
    out = tmp_path / "r.html"
    out.write_text("older")
    words = ["report", str(folder / "optimal.rsm.h5"), "-o", str(out)]
    assert CliRunner().invoke(app, words).exit_code == 1
    assert out.read_text() == "older"
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == 0
    assert out.read_text().startswith("<!DOCTYPE html>")


COUNT = """<script>window.onload = () => {
 const images = [...document.images];
 document.title = images.length + " images, " + images.filter(i => !i.naturalWidth).length + " broken";
}</script></body>"""


def in_chromium(page: Path, profile: Path, *more: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    return subprocess.run(
        [CHROMIUM, *flags, f"--user-data-dir={profile}", *more, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_every_picture_and_complains_of_nothing(whole, tmp_path):
    shown = in_chromium(whole, tmp_path / "profile", "--enable-logging=stderr", "--dump-dom")
    assert "CONSOLE" not in shown.stderr
    text = whole.read_text()
    # The page's own policy forbids scripts, so a copy without it counts the pictures.
    free = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", text, flags=re.DOTALL)
    copy = tmp_path / "copy.html"
    for broken in (0, 1):
        extra = '<img src="data:image/png;base64,AAAA">' * broken
        copy.write_text(free.replace("</body>", extra + COUNT))
        counted = in_chromium(copy, tmp_path / "profile", "--dump-dom").stdout
        assert f"<title>{7 + broken} images, {broken} broken</title>" in counted


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_would_complain_of_a_picture_from_elsewhere(whole, tmp_path):
    page = tmp_path / "outside.html"
    page.write_text(whole.read_text().replace("</body>", '<img src="file:///x.png"></body>'))
    shown = in_chromium(page, tmp_path / "profile", "--enable-logging=stderr", "--dump-dom")
    assert "CONSOLE" in shown.stderr
