"""The report: what it computes, and the page in a real browser."""

import datetime
import json
import os
import pathlib
import re
import shutil
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.report import __main__ as report
from pipeline.report.analysis import (
    _WORD,
    _without_addresses,
    clusters,
    histogram,
    near_duplicates,
    project,
    reduced,
)
from pipeline.report.data import category, read_dead_letters, read_rows, read_summary
from tests.pipeline.stories import version, write_bundle
from tests.shared import Shared
from transforms.dead_letters import dead_letters
from transforms.encoder.recipe import scaled
from transforms.kinds import DEAD_LETTERS, ROWS
from transforms.types import SentenceEmbedding

TOPICS = ["pizza oven", "train station", "garden roses", "bank account"]


def rows(count: int, dimension: int = 8) -> list[SentenceEmbedding]:
    """Sentences of four topics, the vectors of a topic near each other; the last is markup."""
    random = np.random.default_rng(0)
    centres = random.normal(0, 4, (len(TOPICS), dimension))
    made = []
    for i in range(count):
        topic = i % len(TOPICS)
        content = f"The {TOPICS[topic]} number {i}" if i < count - 1 else "</script><b onclick='alert(1)'>Tom & Jerry"
        data = (centres[topic] + random.normal(0, 1, dimension)).astype("<f4").tobytes()
        metadata = {"genre": ["mail", "blog"][topic % 2], "key": str(i)}
        micros = i * 86_400_000_000 if i % 2 else None
        place = (f"{i * 7919 % count:08}", f"m{i // 3}", i % 3, 0, len(content), content, metadata, micros)
        made.append(SentenceEmbedding(*place, "", data, "model", "v1", "float32", 5 + i % 9, i % 100 == 7))
    return made


@pytest.fixture(scope="module")
def run_files(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run of 400 rows with dead letters and its summary."""
    path = tmp_path_factory.mktemp("run")
    pq.write_table(ROWS.to_arrow(rows(400)), path / "rows.parquet")
    letters = [
        letter
        for i in range(5)
        for letter in dead_letters("Parse messages", f"expected a field 'text', got {i} others", b'{"id": %d}' % i, {})
    ]
    letters += dead_letters("Embed sentences", ValueError("refused by the model"), b"\xff<i>", {})
    pq.write_table(DEAD_LETTERS.to_arrow(letters), path / "dead.parquet")
    (path / "summary.txt").write_text("rows          400 in out/rows\ntime          2.0 s, 200 sentences a second\n")
    return path


def test_a_sample_is_always_the_same(run_files: pathlib.Path) -> None:
    """And the counts are of all rows."""
    found = read_rows(f"{run_files}/rows*.parquet", 50)
    again = read_rows(f"{run_files}/rows*.parquet", 50)
    assert found.table.equals(again.table)
    assert (len(found.table), found.total, found.messages, found.truncated) == (50, 400, 134, 4)
    assert found.vectors.shape == (50, 8)
    assert found.model == ("model", "v1", "float32")


def test_only_current_rows_are_shown_each_once(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless all are asked for; the counts are of what is shown, and one line says how many rows are not."""
    for number in range(2):
        bundle = [version(number, f"Edit {number}. Same of {message}.", str(message)) for message in range(50)]
        write_bundle(tmp_path / "rows", *bundle, bundle[0])
    found = read_rows(f"{tmp_path}/rows*", 1000)
    assert (len(found.table), found.total, found.messages, found.left_out) == (100, 100, 50, 102)
    assert (read_rows(f"{tmp_path}/rows*", 30).total, len(read_rows(f"{tmp_path}/rows*", 30).table)) == (100, 30)
    found = read_rows(f"{tmp_path}/rows*", 1000, all_versions=True)
    assert (len(found.table), found.total, found.messages, found.left_out) == (200, 200, 50, 0)
    options = [f"--embeddings={tmp_path}/rows*", f"--to={tmp_path}/report.html", "--projection=pca"]
    assert report.main(options) == 0
    assert "100 of 100 sentences\nleft out 102 rows that are not current" in capsys.readouterr().out


def test_dead_letters_are_gathered_by_cause(run_files: pathlib.Path) -> None:
    """Numbers and names in a message do not part what failed for one reason."""
    first, second = read_dead_letters(f"{run_files}/dead*.parquet")
    assert (first.stage, first.cause, first.letters) == ("Parse messages", "expected a field …, got … others", 5)
    assert (second.stage, second.letters, second.message) == ("Embed sentences", 1, "ValueError: refused by the model")


def test_a_pattern_of_no_dead_letters_is_refused(run_files: pathlib.Path) -> None:
    """As one of no rows is; a run without dead letters has no file of them."""
    with pytest.raises(ValueError, match=r"expected --dead_letters to match Parquet files, '.*/none\*' matches none; "):
        read_dead_letters(f"{run_files}/none*")
    assert read_dead_letters("") == []


def test_the_runs_summary_is_read(run_files: pathlib.Path) -> None:
    """As `python -m pipeline` prints it."""
    assert read_summary(f"{run_files}/summary.txt")[1] == ("time", "2.0 s, 200 sentences a second")


def test_addresses_are_no_words() -> None:
    """Wherever in a word they stand, and however long the word is."""
    texts = [
        "See https://a.b/c?d",
        "www.example.org is",
        "me@home wrote",
        "x" * 400_000,
        "example.com",
        "a.b.comet",
        ".com",
    ]
    found = [_WORD.sub(_without_addresses, text).split() for text in texts]
    assert found == [["See"], ["is"], ["wrote"], ["x" * 400_000], [], ["a.b.comet"], [".com"]]


def test_clusters_are_the_topics() -> None:
    """Each is named by its words, and its central sentences are its own."""
    made = rows(400)
    contents = [row.content for row in made]
    vectors = scaled(np.stack([np.frombuffer(row.embedding, "<f4") for row in made]))
    codes, found = clusters(vectors, reduced(vectors), contents, 4)
    assert sorted(cluster.size for cluster in found) == [100] * 4
    assert {frozenset(cluster.label.split(" · ")[:2]) for cluster in found} <= {
        frozenset(pair) for topic in TOPICS for pair in [topic.split()]
    } | {frozenset(["number", word]) for topic in TOPICS for word in topic.split()}
    for code, cluster in enumerate(found):
        assert len({row % 4 for row in np.flatnonzero(codes == code)}) == 1
        assert all(codes[row] == code for row in cluster.central)


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_neighbours_stay_neighbours_on_the_map(method: str) -> None:
    """Of each point's nearest on the map, most are of its topic; the map lies within -1 and 1, twice the same."""
    vectors = scaled(np.stack([np.frombuffer(row.embedding, "<f4") for row in rows(400)]))
    places = project(reduced(vectors), method)
    assert np.abs(places).max() == pytest.approx(1)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(400) * 9
    same = np.mean(distances.argmin(axis=1) % 4 == np.arange(400) % 4)
    assert same > 0.9
    np.testing.assert_allclose(project(reduced(vectors), method), places, atol=1e-3)


def test_near_duplicates_are_groups_of_different_contents() -> None:
    """Equal contents count once, and blocks do not part a group."""
    random = np.random.default_rng(0)
    vectors = scaled(random.normal(0, 1, (5000, 64)))
    vectors[4000] = vectors[10] + 0.001
    vectors[4999] = vectors[4000]
    vectors[20] = vectors[30]
    contents = [f"s{i}" for i in range(5000)]
    contents[30] = contents[20]
    (group,) = near_duplicates(scaled(vectors), contents, 0.95)
    assert group.rows == [10, 4000, 4999]
    assert group.least > 0.99


def test_a_histogram_holds_every_value() -> None:
    """The rare long ones are in the last bin."""
    values = np.array([1, 1, 2, 50, 100_000] + [10] * 1000)
    made = histogram(values)
    assert sum(made.counts) == len(values)
    assert len(made.counts) <= 31


def test_rare_values_of_a_field_become_one() -> None:
    """There are no more colours than can be told apart."""
    field = category("f", [None, *(str(i) for i in range(30)), "5", "5"])
    assert len(field.values) == 20
    assert (field.values[0], field.values[-1]) == ("5", "other")
    assert field.codes.max() == 19


def test_few_rows_make_a_page_too(tmp_path: pathlib.Path) -> None:
    """One sentence has no neighbours."""
    for count in (1, 2, 3):
        pq.write_table(ROWS.to_arrow(rows(count)), tmp_path / "rows.parquet")
        assert report.main([f"--embeddings={tmp_path}/rows.parquet", f"--to={tmp_path}/report.html"]) == 0


def test_the_page_needs_nothing_from_elsewhere(run_files: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """No address is loaded, and the texts cannot end the element that holds them."""
    target = tmp_path / "report.html"
    assert report.main([f"--embeddings={run_files}/rows.parquet", f"--to={target}"]) == 0
    text = target.read_text()
    assert not re.search(r"<(script|link|img|iframe)[^>]*\b(src|href)=", text)
    assert text.count("</script>") == 3
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S).group(1))  # type: ignore[union-attr]
    assert any("</script>" in content for content in data["content"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--embeddings=/no/such/*"], "expected --embeddings to match Parquet files, '/no/such/*' matches none"),
        (["--duplicates=2"], "expected --duplicates above 0 and up to 1, got 2.0"),
        (["--summary=/no/such"], "expected --summary to be a file of what the run printed, got '/no/such'"),
        (["--model_version=v9"], "expected rows of one model, got none; choose one with --model_version"),
        (["--to=/no/such/report.html"], "No such file or directory: '/no/such/report.html'"),
    ],
)
def test_a_wrong_report_is_refused_with_one_line(
    run_files: pathlib.Path, capsys: pytest.CaptureFixture[str], options: list[str], reason: str, tmp_path: pathlib.Path
) -> None:
    """Exit code 2, no traceback."""
    given = [f"--embeddings={run_files}/rows.parquet", f"--to={tmp_path}/r.html", "--projection=pca"]
    assert report.main([*given, *options]) == 2
    printed = capsys.readouterr().err
    assert reason in printed
    assert printed.count("\n") == 1


# ---- In a browser ------------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a screen; a test of the page is skipped, and says so, where there is none."""
    if not (CHROMIUM and DRIVER):
        reason = "no Chromium and chromedriver: the report was NOT tested in a browser; apt-get install chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(reason)
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "enable-unsafe-swiftshader"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def big_page(shared: Shared) -> str:
    """A page of 50,000 sentences."""

    def make(path: pathlib.Path) -> None:
        pq.write_table(ROWS.to_arrow(rows(50_000)), path / "rows.parquet")
        arguments = ["--projection=pca", "--duplicates=0.9999", f"--to={path}/report.html"]
        assert report.main([f"--embeddings={path}/rows.parquet", *arguments]) == 0

    return f"file://{shared.made('big_page', make)}/report.html"


def show(browser: Any, page: str, width: int = 1300, height: int = 950, scheme: str = "light") -> Any:
    """Open the page and wait until the map is drawn."""
    # The map draws no more than the screen holds, and a headless screen is small.
    screen = {"screenWidth": width, "screenHeight": height}
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500, **screen}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": width < 500})
    browser.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    browser.get(page)
    browser.execute_async_script("const done = arguments[0]; report.ready.then(() => setTimeout(done, 300))")
    assert browser.execute_script("return report.plot() !== null"), "the browser has no WebGL"
    return browser


def until(browser: Any, condition: str) -> Any:
    """The value of a script's expression once it is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(f"return {condition}"))


def pixel(browser: Any, row: int) -> list[int]:
    """The colour of the map at a row."""
    return list(
        browser.execute_script(
            "const [x, y] = report.screen(arguments[0]); const image = report.plot().export();"
            "const i = 4 * (Math.round(y * devicePixelRatio) * image.width + Math.round(x * devicePixelRatio));"
            "return [...image.data.slice(i, i + 3)]",
            row,
        )
    )


def loneliest(browser: Any) -> int:
    """The row whose nearest point on the screen is farthest."""
    return int(
        browser.execute_script(
            "const places = report.data.content.map((_, i) => report.screen(i)); let best = [0, 0];"
            "for (let i = 0; i < 600; i++) { let near = 1e9; places.forEach(([x, y], j) => { if (j !== i)"
            " near = Math.min(near, (x - places[i][0]) ** 2 + (y - places[i][1]) ** 2) });"
            " if (near > best[0]) best = [near, i]; } return best[1]"
        )
    )


def test_hover_shows_the_text_of_a_point(browser: Any, big_page: str) -> None:
    """Among 50,000 points, the one under the mouse, with its message and fields."""
    from selenium.webdriver import ActionChains

    show(browser, big_page)
    assert browser.execute_script("return report.data.content.length") == 50_000
    row = loneliest(browser)
    content, place = browser.execute_script(
        "const box = document.getElementById('canvas').getBoundingClientRect(), at = report.screen(arguments[0]);"
        "return [report.data.content[arguments[0]], [at[0] + box.left, at[1] + box.top].map(Math.round)]",
        row,
    )
    mouse = ActionChains(browser)
    mouse.w3c_actions.pointer_action.move_to_location(*place)
    mouse.w3c_actions.pointer_action.move_to_location(place[0] + 1, place[1])
    mouse.perform()
    shown = until(browser, "!tooltip.hidden && tooltip.textContent")
    assert shown.startswith(content)
    assert "genre " in shown


def test_a_sample_is_said_to_be_one(browser: Any, run_files: pathlib.Path) -> None:
    """On the map, and beside what is counted in it and not in all rows."""
    arguments = [f"--embeddings={run_files}/rows*.parquet", f"--to={run_files}/sample.html", "--projection=pca"]
    assert report.main([*arguments, "--limit=120"]) == 0
    show(browser, f"file://{run_files}/sample.html")
    text = browser.execute_script("return document.body.innerText")
    assert "a sample of 120" in text
    assert "clusters in the sample" in text
    assert "near-duplicate groups in the sample" in text
    assert "400" in text.splitlines()


def test_search_lists_and_keeps_what_matches(browser: Any, big_page: str) -> None:
    """All words, in any case; markup in a text is text."""
    show(browser, big_page)
    box = browser.find_element("id", "search")
    box.send_keys("ROSES number 77")
    # Of the rows 4n + 2, those whose number begins with 77.
    expected = sum(i % 4 == 2 and "77" in str(i) and str(i).startswith("77") for i in range(50_000))
    count = until(browser, "!matches.hidden && document.getElementById('match-count').textContent")
    texts = browser.execute_script(
        "return [...document.querySelectorAll('#match-list li')].map((li) => li.textContent)"
    )
    assert texts
    assert all("roses" in text and "77" in text for text in texts)
    selected = until(browser, "report.plot().get('selectedPoints').length")
    assert count == f"{selected} sentences"
    assert selected >= expected
    browser.find_element("id", "reset").click()
    assert until(browser, "matches.hidden && report.plot().get('selectedPoints').length === 0")
    box.send_keys("jerry")
    assert until(browser, "document.querySelectorAll('#match-list li').length === 1")
    assert "</script><b onclick" in browser.find_element("id", "match-list").text
    assert not browser.find_elements("css selector", "#match-list b")


def test_colour_follows_the_chosen_field(browser: Any, big_page: str) -> None:
    """The legend names the field's values, and the points change."""
    from selenium.webdriver.support.ui import Select

    show(browser, big_page)
    choice = Select(browser.find_element("id", "colour"))
    assert [option.text for option in choice.options] == ["cluster", "genre", "length", "tokens", "event time"]
    row = loneliest(browser)
    choice.select_by_visible_text("genre")
    until(browser, "legend.textContent.includes('mail')")
    counts = {entry.text for entry in browser.find_elements("css selector", "#legend button")}
    assert counts == {"mail\n25,000", "blog\n25,000"}
    browser.execute_async_script("setTimeout(arguments[0], 500)")
    genre = pixel(browser, row)
    choice.select_by_visible_text("tokens")
    until(browser, "document.querySelector('.ramp') !== null")
    browser.execute_async_script("setTimeout(arguments[0], 500)")
    assert pixel(browser, row) != genre
    assert genre != [255, 255, 255]


def test_it_is_quiet_and_fits_a_phone_light_and_dark(
    browser: Any, run_files: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Nothing is wider than the screen, nothing is logged as an error, and a tap shows a sentence."""
    files = {"dead_letters": "dead.parquet", "embeddings": "rows.parquet", "summary": "summary.txt"}
    options = [f"--{name}={run_files}/{file}" for name, file in files.items()]
    assert report.main([*options, "--projection=pca", f"--to={tmp_path}/report.html"]) == 0
    backgrounds = set()
    for scheme in ("light", "dark"):
        show(browser, f"file://{tmp_path}/report.html", 390, 844, scheme)
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        backgrounds.add(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2
    place = browser.execute_script(
        "document.getElementById('map').scrollIntoView();"
        "const box = document.getElementById('canvas').getBoundingClientRect(), at = report.screen(9);"
        "return { x: box.left + at[0], y: box.top + at[1] }"
    )
    for kind, points in (("touchStart", [place]), ("touchEnd", [])):
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    content = until(browser, "!tooltip.hidden && tooltip.textContent")
    assert content.startswith("The ")
    assert browser.find_element("id", "run").text.endswith("200 sentences a second")
    assert "refused by the model" in browser.find_element("id", "dead-letters").text
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


def test_time_fields_know_their_nulls(run_files: pathlib.Path) -> None:
    """A row without a time has no place on the ramp."""
    from pipeline.report.data import fields

    (time,) = (f for f in fields(read_rows(f"{run_files}/rows.parquet", 400).table) if f.kind == "time")
    assert np.isnan(time.codes).sum() == 200
    assert np.nanmax(time.codes) == datetime.timedelta(days=399).total_seconds()
