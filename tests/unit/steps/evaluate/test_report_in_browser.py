"""The report in a real browser, where one is installed: it is whole, and the browser reports no error."""

import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest

from steps.contracts.evaluation import REPORT
from tests.unit.steps.evaluate.conftest import mislabelled
from tests.unit.steps.train.photos import photos

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


def browse(folder, page, *flags):
    profile = folder / "profile"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", *QUIET]
    command += [f"--user-data-dir={profile}", "--enable-logging=stderr", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def page(job):
    job.store([*photos(9, 100), mislabelled("far", 0, 2), mislabelled("near", 1, 2)], rejects={"not-jpeg": ["9001"]})
    job.put_model()
    job.run(minimum_accuracy=0.5, maximum_rmse=0.1)
    return job.output / REPORT


def test_the_browser_finds_no_error_in_it(page, tmp_path):
    shown = browse(tmp_path, page, "--dump-dom")
    assert shown.returncode == 0, shown.stderr
    assert re.findall(r".*(?:CONSOLE|ERR_).*", shown.stderr) == []
    for heading in ("Champion and baselines", "Confusion matrix", "Most frequent errors", "Dataset", "Provenance"):
        assert f">{heading}</h2>" in shown.stdout


def test_it_would_report_an_error(page, tmp_path):
    broken = page.with_name("broken.html")
    broken.write_text(page.read_text().replace("</body>", "<script>missing()</script></body>"))
    assert "CONSOLE" in browse(tmp_path, broken, "--dump-dom").stderr


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_as_light_or_dark_as_the_reader_wants(page, tmp_path, dark):
    picture = tmp_path / "page.png"
    scheme = ("--blink-settings=preferredColorScheme=0",) if dark else ()
    browse(tmp_path, page, "--window-size=900,700", f"--screenshot={picture}", *scheme)
    corner = cv2.imread(str(picture))[5:20, 5:20]
    assert (np.mean(corner) < 60) == dark
