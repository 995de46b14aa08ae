"""The workflow for GitHub Actions: what it runs exists, what it may do is little, and upserts come one by one."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from typer.main import get_command

from pipeline import ROOT
from pipeline.cli import app
from pipeline.settings import ContinuousIntegration
from pipeline.settings.file import load_settings

FOLDER = ROOT / ".github" / "workflows"
TEXT = (FOLDER / "pipeline.yml").read_text()
COMMAND = re.compile(r"python -m pipeline (.+)")


@pytest.fixture(scope="module")
def workflow() -> Any:
    # YAML 1.1 takes the word `on` for a boolean; GitHub does not.
    return yaml.load(TEXT, Loader=yaml.BaseLoader)


@pytest.fixture(scope="module")
def bases() -> Any:
    return yaml.load((FOLDER / "bases.yml").read_text(), Loader=yaml.BaseLoader)


def steps(workflow: Any, job: str) -> list[dict[str, Any]]:
    return list(workflow["jobs"][job]["steps"])


def commands(workflow: Any, job: str) -> list[str]:
    return [step["run"] for step in steps(workflow, job) if "run" in step]


def test_a_pull_request_is_checked_and_tested_and_reaches_no_account(workflow: Any) -> None:
    assert commands(workflow, "test") == ["make check", "make test"]
    assert commands(workflow, "long") == ["make test-long"]
    assert "id-token" not in workflow["permissions"]
    assert not [job for job in ("test", "long") if "permissions" in workflow["jobs"][job]]
    assert workflow["jobs"]["upsert"]["if"].startswith("github.event_name == 'push' && ")
    assert set(workflow["on"]) == {"pull_request", "push"}


def test_the_console_is_driven_in_debian_which_has_a_browser_as_a_package(workflow: Any) -> None:
    install, *rest = commands(workflow, "browser")
    assert rest == ["make test-browser"]
    assert {"chromium", "git", "make", "python3.11-venv"} <= set(install.split())
    assert workflow["jobs"]["browser"]["container"].startswith("debian:")
    assert "permissions" not in workflow["jobs"]["browser"]


def test_spark_is_tried_in_its_own_environment(workflow: Any) -> None:
    assert commands(workflow, "spark") == ["make test-spark"]
    assert "test-spark" in re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "permissions" not in workflow["jobs"]["spark"]


def test_a_push_brings_images_and_then_the_pipeline_once_it_was_tested(workflow: Any) -> None:
    assert workflow["jobs"]["upsert"]["needs"] == ["test", "long", "browser", "spark"]
    found = [match[1] for run in commands(workflow, "upsert") if (match := COMMAND.fullmatch(run))]
    assert found == ["images push --builder codebuild", "check", "upsert"]


def test_the_branch_is_the_one_whose_runs_may_assume_the_role(workflow: Any) -> None:
    assert workflow["on"]["push"]["branches"] == [ContinuousIntegration().branch]


def test_every_command_is_one_of_the_command_line(workflow: Any) -> None:
    for job in workflow["jobs"]:
        for run in commands(workflow, job):
            if match := COMMAND.search(run):
                known: Any = get_command(app)
                words, option, rest = match[1].partition(" --")
                for word in words.split():
                    assert word in known.commands, f"{run}: there is no command {word}"
                    known = known.commands[word]
                # An option that is none, or a value that it does not take, is an error here.
                known.make_context(words, (option + rest).split())


def test_every_target_of_make_is_in_the_makefile(workflow: Any) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = [run.split()[1:] for job in workflow["jobs"] for run in commands(workflow, job) if run.startswith("make")]
    assert {target for words in made for target in words} <= targets


def test_the_bases_are_tested_each_night_and_for_a_label_and_reach_no_account(bases: Any) -> None:
    assert commands(bases, "bases") == ["make test-bases"]
    assert "test-bases" in re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"\d+ \d+ \* \* \*", bases["on"]["schedule"][0]["cron"])
    assert set(bases["on"]) == {"schedule", "pull_request", "workflow_dispatch"}
    assert "labeled" in bases["on"]["pull_request"]["types"]
    assert "labels.*.name, 'bases')" in bases["jobs"]["bases"]["if"]
    assert bases["permissions"] == {"contents": "read"}
    assert "permissions" not in bases["jobs"]["bases"]
    assert "secrets." not in (FOLDER / "bases.yml").read_text()
    used = [step for step in steps(bases, "bases") if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v[0-9]+", step["uses"]) for step in used)
    (checkout,) = [step for step in used if "checkout" in step["uses"]]
    assert checkout["with"]["persist-credentials"] == "false"


def test_faults_are_tried_each_night_and_reach_no_account() -> None:
    text = (FOLDER / "nightly.yml").read_text()
    nightly = yaml.load(text, Loader=yaml.BaseLoader)
    assert commands(nightly, "chaos") == ["make test-chaos"]
    assert "test-chaos" in re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"\d+ \d+ \* \* \*", nightly["on"]["schedule"][0]["cron"])
    assert set(nightly["on"]) == {"schedule", "workflow_dispatch"}
    assert nightly["permissions"] == {"contents": "read"}
    assert "permissions" not in nightly["jobs"]["chaos"]
    assert "secrets." not in text
    used = [step for step in steps(nightly, "chaos") if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v[0-9]+", step["uses"]) for step in used)
    (checkout,) = [step for step in used if "checkout" in step["uses"]]
    assert checkout["with"]["persist-credentials"] == "false"


def test_the_oldest_python_is_tried_each_night() -> None:
    """Python 3.11.2 lacks functions of later patches: https://packages.debian.org/bookworm/python3.11."""
    nightly = yaml.load((FOLDER / "nightly.yml").read_text(), Loader=yaml.BaseLoader)
    assert nightly["jobs"]["oldest-python"]["container"] == "debian:12"
    assert commands(nightly, "oldest-python")[-2:] == ["make test", "make test-long"]
    assert not [step for step in steps(nightly, "oldest-python") if "setup-python" in step.get("uses", "")]
    assert "permissions" not in nightly["jobs"]["oldest-python"]


def test_every_workflow_has_its_tests_here() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {"pipeline.yml", "bases.yml", "nightly.yml"}


def test_the_default_profile_is_one_of_the_settings(workflow: Any) -> None:
    default = re.search(r"\|\| '([a-z]+)' \}\}", workflow["jobs"]["upsert"]["env"]["PIPELINE_PROFILE"])
    assert default is not None
    assert load_settings(ROOT / "pipeline.yaml", default[1]).account.target == "aws"


def test_permissions_are_the_least(workflow: Any) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["upsert"]["permissions"] == {"contents": "read", "id-token": "write"}


def test_two_upserts_never_run_at_once_and_none_is_broken_off(workflow: Any) -> None:
    concurrency = workflow["jobs"]["upsert"]["concurrency"]
    assert concurrency["cancel-in-progress"] == "false"
    assert "${{" not in concurrency["group"]


def test_there_are_no_keys_to_leak(workflow: Any) -> None:
    assert "secrets." not in TEXT
    assert "aws-access-key-id" not in TEXT
    [login] = [step for step in steps(workflow, "upsert") if "configure-aws-credentials" in step.get("uses", "")]
    assert login["with"]["role-to-assume"] == "${{ vars.PIPELINE_ROLE_ARN }}"
    checkouts = [one for job in workflow["jobs"] for one in steps(workflow, job) if "checkout" in one.get("uses", "")]
    assert {one["with"]["persist-credentials"] for one in checkouts} == {"false"}


def test_nothing_that_a_pull_request_says_reaches_a_shell(workflow: Any) -> None:
    assert not [run for job in workflow["jobs"] for run in commands(workflow, job) if "${{" in run]
    assert "pull_request_target" not in TEXT


def test_every_action_is_of_a_named_version(workflow: Any) -> None:
    used = [step["uses"] for job in workflow["jobs"] for step in steps(workflow, job) if "uses" in step]
    assert all(re.fullmatch(r"(actions|aws-actions)/[a-z-]+@(v[0-9]+|[0-9a-f]{40})", one) for one in used)
