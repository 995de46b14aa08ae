"""Kind: paths that a request names inside of a container, and that this machine does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.local.machine.containers import moved


@pytest.mark.parametrize(
    ("word", "here"),
    [
        ("/opt/ml/processing/input/code/clean.py", "/jobs/1/processing/input/code/clean.py"),
        ("/opt/ml", "/jobs/1"),
        ("--data=/opt/ml/input", "--data=/jobs/1/input"),
        ("chmod +x /opt/ml/a.sh && /opt/ml/a.sh", "chmod +x /jobs/1/a.sh && /jobs/1/a.sh"),
        ("'/opt/ml/a'", "'/jobs/1/a'"),
        ("/opt/ml:/opt/ml/code", "/jobs/1:/jobs/1/code"),
        ("/opt/mlflow/run", "/opt/mlflow/run"),
        ("/opt/ml-old/a", "/opt/ml-old/a"),
        ("s3://bucket/opt/ml/a", "s3://bucket/opt/ml/a"),
        ("/home/opt/ml/a", "/home/opt/ml/a"),
        ("python3", "python3"),
    ],
)
def test_a_path_below_opt_ml_is_that_of_the_jobs_folder(word: str, here: str) -> None:
    assert moved(Path("/jobs/1"), [word]) == [here]


def test_a_folder_with_signs_of_expressions_is_written_as_it_is() -> None:
    assert moved(Path(r"/jobs/\1 \g<0>"), ["/opt/ml/a"]) == [r"/jobs/\1 \g<0>/a"]
