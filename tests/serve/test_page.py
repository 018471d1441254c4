"""The page in a browser, where there is one."""

import json
import shutil
import subprocess

import pytest

import vitascope
from service_support import Server, make_field

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="There is no Chromium here.")]


def test_a_browser_shows_the_tasks_and_asks_no_other_site(tmp_path):
    with Server(tmp_path) as server:
        how = [f"--user-data-dir={tmp_path / 'browser'}", "--headless", "--no-sandbox", "--disable-gpu"]
        done = subprocess.run(
            [BROWSER, *how, "--virtual-time-budget=8000", "--dump-dom", f"{server.url}/"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-500:]
        for task in vitascope.list_tasks():
            assert f'<option value="{task.name}">{task.title}</option>' in done.stdout


def test_an_image_gives_its_number_and_its_map(tmp_path):
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed.")
    with Server(tmp_path) as server, sync.sync_playwright() as play:
        field = make_field(tmp_path / "field.ome.tif")
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page, asked = browser.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.url}/")
        page.wait_for_selector("#task option", state="attached")
        page.set_input_files("#images", str(field))
        page.select_option("#model", "test-model")
        page.click("#start")
        page.wait_for_selector(".card img", timeout=120_000)
        page.wait_for_selector("#cancel", state="hidden")
        assert page.inner_text("#said") == "Done."
        job = server.ask("GET", "/v1/jobs")[2][0]["id"]
        (row,) = server.ask("GET", f"/v1/jobs/{job}/result")[2]
        assert page.inner_text(".number").startswith(f"{row['objects']:,} ")
        assert page.locator(".card img").count() == 2
        with page.expect_download() as got:
            page.click("text=Save results.csv")
        assert got.value.suggested_filename == "results.csv"
        assert all(url.startswith((server.url, "blob:")) for url in asked), json.dumps(asked)
        browser.close()
