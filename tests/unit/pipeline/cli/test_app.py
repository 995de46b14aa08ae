"""The command line: global options, exit codes, and errors as lines."""

from __future__ import annotations

import errno
import importlib
import os
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions
from typer.testing import CliRunner

from pipeline import ROOT
from pipeline.cli.app import DEFAULT_FILE, Options, hoisted
from pipeline.cli.errors import explained
from steps.contracts.errors import PipelineError, StepError
from tests.unit.pipeline.conftest import Call

# The module, which the package hides behind its application.
application = sys.modules["pipeline.cli.app"]
HEAVY = ("boto3", "botocore", "pydantic", "sagemaker", "yaml", "pipeline.settings", "pipeline.definition")


def test_the_help_imports_nothing_heavy() -> None:
    code = "import sys, pipeline.cli; print([name for name in sys.argv[1:] if name in sys.modules])"
    command = [sys.executable, "-c", code, *HEAVY]
    assert subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip() == "[]"


PARSERS = ("markdown_it", "pygments", "pydantic", "boto3", "torch", "sagemaker")


@pytest.mark.parametrize(
    ("arguments", "imported"),
    # Typer itself converts the global options with pydantic once a command is named.
    [(["--help"], []), (["start", "--help"], ["pydantic"]), (["--no-such-option"], [])],
)
def test_help_and_usage_errors_import_no_parser_and_no_sdk(arguments: list[str], imported: list[str]) -> None:
    code = """if True:
        import sys
        from pipeline.cli import main
        parsers = sys.argv.pop(1).split()
        try:
            main()
        finally:
            print([name for name in parsers if name in sys.modules], file=sys.stderr)
    """
    command = [sys.executable, "-c", code, " ".join(PARSERS), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.stderr.splitlines()[-1] == str(imported)


def test_the_version_is_that_of_the_project(call: Call) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert call("--version").out == f"{project['name']} {project['version']}\n"


def test_the_package_has_the_command_and_every_file_that_is_not_python() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    module, _, function = settings["project"]["scripts"]["bin-counting"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    patterns = settings["tool"]["setuptools"]["package-data"]["*"]
    files = [path for folder in ("pipeline", "steps") for path in (ROOT / folder).rglob("*.*") if path.is_file()]
    data = [path for path in files if path.suffix not in (".py", ".pyc")]
    assert data
    assert [path for path in data if not any(path.match(pattern) for pattern in patterns)] == []


def test_the_help_names_every_command_and_the_safe_default(call: Call) -> None:
    help_text = call("--help").out
    commands = (
        "demo local check definition upsert start watch runs stop logs models approve reject endpoint predict delete"
    )
    assert [name for name in commands.split() if f"\n  {name} " not in help_text] == []
    sections = [line for line in help_text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert sections == ["Options:", "On this machine:", "Define:", "Run:", "Release:"]
    assert "Without it: 'local', or 'demo' for the command demo" in " ".join(help_text.split())


def test_an_unknown_command_is_a_usage_error(call: Call) -> None:
    outcome = call("upsrt")
    assert outcome.code == 2
    assert "upsrt" in outcome.error


@pytest.mark.parametrize("arguments", [("models", "--limit", "x"), ("models", "--limit", "0"), ("predict",)])
def test_wrong_options_are_usage_errors(call: Call, arguments: tuple[str, ...]) -> None:
    assert call(*arguments).code == 2


def test_without_a_profile_it_is_local(call: Call) -> None:
    outcome = call("runs")
    assert outcome.code == 1
    assert outcome.error == "the local cloud is not running; start it: python -m pipeline local up\n"


def test_the_environment_names_a_profile(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_PROFILE", "nope")
    error = call("runs").error
    assert "profile 'nope'" in error
    assert "aws, local" in error


@pytest.mark.parametrize(
    "arguments", [("--profile", "nope", "runs"), ("runs", "--profile", "nope"), ("runs", "--profile=nope")]
)
def test_global_options_stand_anywhere(call: Call, arguments: tuple[str, ...]) -> None:
    assert "profile 'nope'" in call(*arguments).error


def test_behind_two_dashes_nothing_is_a_global_option() -> None:
    assert hoisted(["predict", "--", "--debug"]) == ["predict", "--", "--debug"]
    assert hoisted(["logs", "x", "--settings", "a.yaml", "--debug"]) == ["--settings", "a.yaml", "--debug", "logs", "x"]


def test_another_settings_file_is_read(call: Call, project: Path) -> None:
    (project / "other.yaml").write_text("name: [")
    outcome = call("--settings", "other.yaml", "runs")
    assert (outcome.code, outcome.error.count("\n")) == (1, 1)
    assert outcome.error.startswith("other.yaml:1: not valid YAML")


def test_every_mistake_in_the_settings_is_a_line(call: Call, project: Path) -> None:
    path = project / "pipeline.yaml"
    path.write_text(path.read_text() + "training: {epochs: 0}\ntuning: {trials: 0}\n")
    assert [line.split(": ")[1] for line in call("check").error.splitlines()] == ["training.epochs", "tuning.trials"]


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make `definition` raise."""

    def arrange(error: BaseException) -> None:
        def compile_definition(_: object) -> str:
            raise error

        monkeypatch.setattr("pipeline.definition.compile_definition", compile_definition)

    return arrange


@pytest.mark.parametrize("kind", [PipelineError, StepError])
def test_a_mistake_is_one_line_on_stderr_and_exit_1(call: Call, raising: Any, kind: type[Exception]) -> None:
    raising(kind("the file x is broken; mend it"))
    outcome = call("definition")
    assert (outcome.code, outcome.out, outcome.error) == (1, "", "the file x is broken; mend it\n")


def test_an_unexpected_error_shows_no_traceback(call: Call, raising: Any) -> None:
    raising(KeyError("x"))
    outcome = call("definition")
    assert (outcome.code, outcome.error) == (
        1,
        "unexpected KeyError: 'x'; run again with --debug for the traceback\n",
    )


def test_with_debug_the_error_itself_comes_out(project: Path, raising: Any) -> None:
    from typer.testing import CliRunner

    from pipeline.cli import app

    raising(PipelineError("broken"))
    result = CliRunner().invoke(app, ["definition", "--debug"])
    assert isinstance(result.exception, PipelineError)


def test_an_interrupt_ends_with_130(call: Call, raising: Any) -> None:
    raising(KeyboardInterrupt())
    assert call("definition").code == 130


# ------------------------------------------------------------------------------------------------- AWS's errors


def answer(code: str, message: str = "", operation: str = "CreatePipeline") -> exceptions.ClientError:
    return exceptions.ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (exceptions.NoCredentialsError(), "no AWS credentials were found; sign in: aws sso login"),
        (exceptions.UnauthorizedSSOTokenError(), "nobody is signed in to SSO, or no longer; sign in: aws sso login"),
        (exceptions.TokenRetrievalError(provider="sso", error_msg="expired"), "sign in: aws sso login"),
        (exceptions.ProfileNotFound(profile="work"), "(work) could not be found; see: aws configure list-profiles"),
        (exceptions.NoRegionError(), "set account.region in pipeline.yaml"),
        (answer("ExpiredTokenException", "expired"), "the AWS credentials have expired; sign in again"),
        (answer("ExpiredToken"), "the AWS credentials have expired"),
        (answer("UnrecognizedClientException"), "AWS does not accept the credentials"),
        (answer("InvalidClientTokenId"), "A region that the account has not enabled has the same error"),
        (answer("PermanentRedirect", "x", "PutObject"), "the bucket is in another region than account.region"),
        (answer("ThrottlingException"), "AWS throttled CreatePipeline; wait a little"),
        (answer("ResourceLimitExceeded", "ml.g5 is 0"), "raise it in Service Quotas. AWS's message: ml.g5 is 0"),
        (answer("AccountLimitExceededException", "0 builds", "StartBuild"), "raise it in Service Quotas"),
        (answer("ValidationException", "a\n b"), "CreatePipeline failed (ValidationException): a b"),
        (answer("AccessDeniedException", "no"), "these credentials may not CreatePipeline; ask for that permission"),
        (
            answer("AccessDenied", "User: u is not authorized to perform: iam:PassRole on resource: r"),
            "these credentials may not iam:PassRole",
        ),
        (
            exceptions.EndpointConnectionError(endpoint_url="https://sagemaker.eu-nowhere-1.amazonaws.com/"),
            "cannot be reached at https://sagemaker.eu-nowhere-1.amazonaws.com/",
        ),
        (exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:8770/"), "python -m pipeline local up"),
        (exceptions.ReadTimeoutError(endpoint_url="https://x.amazonaws.com"), "check the network"),
        (exceptions.ParamValidationError(report="Invalid length"), "AWS would refuse the request"),
    ],
)
def test_an_error_of_aws_is_one_line_with_the_remedy(error: Exception, part: str) -> None:
    line = explained(error)
    assert line is not None
    assert part in line
    assert "\n" not in line


def test_missing_credentials_are_reported_by_a_real_call(call: Call) -> None:
    outcome = call("runs", "--profile", "aws")
    assert (outcome.code, outcome.error.count("\n")) == (1, 1)
    assert outcome.error.startswith("no AWS credentials were found")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_a_shell_that_is_pointed_at_the_local_cloud_does_not_take_commands_for_an_account(
    call: Call, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    outcome = call("upsert", "--profile", "aws")
    assert outcome.code == 1
    assert f"{name}=http://127.0.0.1:9 leads to this machine" in outcome.error


def test_credentials_of_another_account_write_nothing(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    # Not session.client: a module that is imported for the first time here would keep it for the tests after this one.
    monkeypatch.setattr("boto3.client", lambda service, config: Identity())
    for command in (("upsert",), ("start",), ("approve", "1")):
        outcome = call(*command, "--profile", "aws")
        assert outcome.code == 1
        assert "the credentials are of account 999999999999, the settings name 123456789012" in outcome.error


class Identity:
    """An STS client of somebody else."""

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "999999999999"}


# ------------------------------------------------------------------------------------------------ hints


@pytest.mark.parametrize(
    ("text", "pasted"),
    [
        ("start it: python -m pipeline local up", "start it: PROGRAM --profile demo local up"),
        ("python -m pipeline --profile demo stop x", "PROGRAM --profile demo stop x"),
        ("python -m pipeline --settings a.yaml check", "PROGRAM --settings a.yaml check"),
        (".venv/bin/python -m pipeline --profile demo up", ".venv/bin/python -m pipeline --profile demo up"),
        ("python -m pipelines", "python -m pipelines"),
        (
            "python -m pipeline stop a; python -m pipeline stop b",
            "PROGRAM --profile demo stop a; PROGRAM --profile demo stop b",
        ),
    ],
)
def test_a_hint_can_be_pasted(monkeypatch: pytest.MonkeyPatch, text: str, pasted: str) -> None:
    """Kind: a hint that fails as printed. It names what was started, and the profile once."""
    monkeypatch.setattr(application, "_started", ["env/bin/python", "-m", "pipeline"])
    options = Options("demo", DEFAULT_FILE)
    shown = options.pasted(text)
    assert shown == pasted.replace("PROGRAM", "env/bin/python -m pipeline")
    assert options.pasted(shown) == shown


def test_a_process_in_the_background_names_the_same_commands(tmp_path: Path) -> None:
    """Kind: pages that name `--settings` with a path of one machine, although nobody has given the option."""
    assert Options(None, DEFAULT_FILE).words("demo") == ["--profile", "demo"]
    assert Options("dev", Path("mine.yaml")).words() == [
        "--profile",
        "dev",
        "--settings",
        str(Path("mine.yaml").absolute()),
    ]


def test_the_default_file_is_not_named_whichever_way_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A console in the background gets its path from the root."""
    monkeypatch.chdir(tmp_path)
    assert "--settings" not in Options("demo", DEFAULT_FILE.absolute()).command()
    assert Options("demo", tmp_path / "other.yaml").command().endswith(f"--settings {tmp_path}/other.yaml")


def test_an_error_of_the_demo_names_the_demos_profile(call: Call, project: Path) -> None:
    outcome = call("--profile", "local", "start")
    assert outcome.error == "the local cloud is not running; start it: python -m pipeline local up\n"
    text = (project / "pipeline.yaml").read_text().replace("local: {account: {target: local}}", "demo: {}")
    (project / "pipeline.yaml").write_text(text)
    assert "use --profile demo" in call("demo").error


@pytest.mark.parametrize("link", [True, False])
def test_python_is_named_only_where_the_shell_finds_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: bool
) -> None:
    folder = tmp_path / "env" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder) if link else os.defpath)
    monkeypatch.chdir(tmp_path)
    words = application.started(["/checkout/pipeline/__main__.py"])
    assert words == ["python" if link else "env/bin/python", "-m", "pipeline"]
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert application.started(["x"])[0] == ("python" if link else f"{folder}/python")


def test_the_installed_command_is_named_as_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "bin-counting"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.defpath)
    assert application.started([str(script)]) == ["./bin-counting"]
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert application.started([str(script)]) == [str(script)]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert application.started([str(script)]) == ["bin-counting"]


def test_a_python_without_the_packages_is_told_how_to_get_them() -> None:
    """`-S` and `-I` leave the packages out, as a system's Python has none."""
    code = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_module('pipeline', run_name='__main__')"
    result = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith(f"the package typer is missing in {sys.executable}; run `make setup` in {ROOT}")


def test_a_python_that_is_too_old_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import __main__ as entry

    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"Python 3.9 is too old, 3.11 is required; run `make setup`"):
        entry.start()


def test_a_package_that_a_command_lacks_has_the_same_remedy() -> None:
    line = explained(ModuleNotFoundError("No module named 'sagemaker'", name="sagemaker"))
    assert (line or "").startswith("the package sagemaker is missing in this Python; run `make setup`")
    assert (explained(ModuleNotFoundError("x", name="pipeline.nothing")) or "").startswith("unexpected")


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/cloud.json"), "/data/cloud.json"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "cloud"),
        (sqlite3.OperationalError("database or disk is full"), "cloud"),
    ],
)
def test_a_full_disk_is_named_with_its_folder(monkeypatch, tmp_path: Path, error: Exception, place: str) -> None:
    (tmp_path / "cloud").mkdir()
    monkeypatch.setenv("PIPELINE_LOCAL_DIR", str(tmp_path / "cloud"))
    line = explained(error) or ""
    assert line.startswith("no space left on the disk of ")
    assert place in line
    assert "unexpected" not in line


@pytest.mark.parametrize("command", ["start", "schedule"])
def test_the_help_names_the_parameters_and_their_limits(call: Call, command: str) -> None:
    text = " ".join(call(command, "--help").out.split())
    assert "ImageLocation, DataVersion, MaximumQuantity (1 to 1000)" in text
    assert "MaximumRmse (above 0)" in text
    assert "{parameters}" not in text


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_without_colours_errors_have_none_either(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    from pipeline.cli import app

    def shown() -> str:
        return CliRunner().invoke(app, ["--profile", "none", "runs"], color=True).stderr

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in shown()
    monkeypatch.setenv(name, value)
    assert "\x1b[" not in shown()
