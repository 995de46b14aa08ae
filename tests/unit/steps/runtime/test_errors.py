"""Kind: a step that a full disk ends has "no space left" and the folder as its reason, wherever it failed."""

import pytest

from steps.contracts.errors import StepError
from steps.runtime import container
from steps.runtime.errors import run_as_job


@pytest.fixture(autouse=True)
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    return tmp_path


def reason_of(main):
    with pytest.raises(SystemExit) as ended:
        run_as_job(main)
    assert ended.value.code == 1
    return (container.base() / "output" / "failure").read_text()


def plain():
    raise OSError(28, "No space left on device")


def named():
    raise OSError(28, "No space left on device", str(container.base() / "model" / "model.onnx"))


def within_a_step_error():
    try:
        plain()
    except OSError as error:
        raise StepError("model.tar.gz: not a usable model artifact") from error


@pytest.mark.parametrize("main", [plain, named, within_a_step_error])
def test_the_reason_has_the_folder(main, base):
    assert reason_of(main).startswith(f"no space left on the disk of {base}")


def test_other_reasons_stay(base):
    def main():
        raise StepError("the data set has no photos")

    assert reason_of(main) == "the data set has no photos"


def test_a_reason_that_cannot_be_written_does_not_hide_the_error(base, caplog):
    (base / "output").write_text("no folder")
    with pytest.raises(SystemExit) as ended:
        run_as_job(within_a_step_error)
    assert ended.value.code == 1
