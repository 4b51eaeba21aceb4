"""A lesson as a reader has it in JupyterLab: every cell runs, and what it shows has a look."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from kdlib.press.notebooks import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]
LESSON = "02-what-to-distil.ipynb"
PATIENCE_MS = 240_000


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab on a copy of a lesson, at the profile `smoke`."""
    content = json.loads((ROOT / "book" / "resolution" / LESSON).read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = ["".join(cell["source"]).replace('"laptop"', '"smoke"')]
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / LESSON).write_text(json.dumps(content), encoding="utf-8")
    # Cells out of sight are to stay on the page.
    settings = tmp_path / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "KDLIB_STORE": str(tmp_path / "store"),
        "KDLIB_RESULTS": str(tmp_path / "results"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        **{f"JUPYTER_{k}_DIR": str(tmp_path / k) for k in ("CONFIG", "DATA", "RUNTIME")},
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [
        f"--port={port}",
        "--IdentityProvider.token=",
        f"--notebook-dir={tmp_path / 'book'}",
    ]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api", process)
        yield f"{address}/lab/tree/{LESSON}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(address: str, process: subprocess.Popen) -> None:
    for _ in range(120):
        assert process.poll() is None, "JupyterLab did not start"
        try:
            urllib.request.urlopen(address, timeout=5).read()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("JupyterLab does not answer")


def test_a_lesson_runs_from_top_to_bottom(lab):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(lab)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        # The kernel has answered to the last cell.
        page.wait_for_function(
            """() => {
                const all = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
                const texts = all.map(p => p.textContent.trim()).filter(t => t);
                return texts.length > 5 && texts.every(t => /^\\[\\d+\\]:$/.test(t));
            }"""
        )
        errors = page.locator("[data-mime-type='application/vnd.jupyter.stderr']")
        assert errors.all_inner_texts() == []
        assert page.locator(".kd-failure").count() == 0
        assert page.get_by_text("profile smoke").count() > 0
        box = page.locator(".kd-reading").first
        assert box.evaluate("b => getComputedStyle(b).borderLeftWidth") == "3px"
        browser.close()
