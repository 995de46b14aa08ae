"""Kind: a member or an operation that changes what a pipeline does is carried out as AWS documents it, or refused.

Versions, selective execution, retries, changes of an execution, one token under many clients, and the filters of lists.
Steps of type Model stand for all that create something: the calls that they make are counted here.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.aws.validation import validate_request, validate_response
from pipeline.local import members
from pipeline.local.context import Context, ServiceError
from pipeline.local.sagemaker.pipelines import Pipelines
from pipeline.local.sagemaker.steps import StepRunners
from pipeline.local.store import Store
from tests.unit.pipeline.local.identities import Permissive

ROLE = "arn:aws:iam::123456789012:role/pipeline"
TOKEN = "a-token-of-thirty-two-characters-"
FOREVER = 60


class Account:
    """The local cloud's pipelines with steps that create nothing. `created` has the steps' names in their order."""

    def __init__(self, folder: Path) -> None:
        environment = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
        self.context = Context(folder, "123456789012", "us-east-1", Store(folder / "s"), environment)
        self.created: list[str] = []
        self.environments: dict[str, dict[str, str]] = {}
        self.failing: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.events: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.restart()

    def restart(self, functions: Any = None) -> None:
        nothing: Any = SimpleNamespace()
        runners = StepRunners(nothing, nothing, nothing, functions, self.answer, lambda *_: None)
        events: Any = SimpleNamespace(emit=lambda kind, resources, detail: self.events.append(detail))
        identity: Any = Permissive(s3=SimpleNamespace(get_object=self.read))
        self.pipelines = Pipelines(self.context, runners, events, identity)

    def read(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": SimpleNamespace(read=lambda: self.files[f"{Bucket}/{Key}"])}

    def answer(self, service: str, operation: str, request: dict[str, Any], _: Any) -> dict[str, Any]:
        assert operation == "CreateModel"
        step = request["ModelName"].split("-")[2]
        self.created.append(step)
        self.environments[step] = request["PrimaryContainer"].get("Environment", {})
        assert self.gate.wait(FOREVER)
        if step in self.failing:
            raise ServiceError("ValidationException", f"{step} does not work")
        return {"ModelArn": f"arn:aws:sagemaker:us-east-1:123456789012:model/{request['ModelName']}"}

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """An answer, where request and answer fit the service's model and the table of members."""
        assert validate_request("sagemaker", operation, request) == []
        assert members.problems("sagemaker", operation, request) == []
        answer = self.pipelines.operations()[operation](request)
        assert validate_response("sagemaker", operation, answer) == []
        return answer

    def create(self, *steps: dict[str, Any], name: str = "bins", **more: Any) -> str:
        request = {"PipelineName": name, "RoleArn": ROLE, "PipelineDefinition": definition(*steps, **more)}
        return str(self.call("CreatePipeline", ClientRequestToken=TOKEN, **request)["PipelineArn"])

    def start(self, name: str = "bins", token: str = "", **request: Any) -> str:
        token = token or f"{time.monotonic_ns():040d}"
        answer = self.call("StartPipelineExecution", PipelineName=name, ClientRequestToken=token, **request)
        return str(answer["PipelineExecutionArn"])

    def retry(self, arn: str, token: str = "", **request: Any) -> str:
        token = token or f"{time.monotonic_ns():040d}"
        answer = self.call("RetryPipelineExecution", PipelineExecutionArn=arn, ClientRequestToken=token, **request)
        return str(answer["PipelineExecutionArn"])

    def wait(self, arn: str) -> dict[str, Any]:
        """The description of an execution that has ended."""
        deadline = time.monotonic() + FOREVER
        while time.monotonic() < deadline:
            run = self.call("DescribePipelineExecution", PipelineExecutionArn=arn)
            if run["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
                return run
            time.sleep(0.01)
        raise AssertionError("the execution does not end")

    def steps(self, arn: str) -> dict[str, dict[str, Any]]:
        listed = self.call("ListPipelineExecutionSteps", PipelineExecutionArn=arn, MaxResults=100)
        return {step["StepName"]: step for step in listed["PipelineExecutionSteps"]}


def definition(*steps: dict[str, Any], **more: Any) -> str:
    return json.dumps({"Version": "2020-12-01", "Steps": list(steps), **more})


def model(name: str, *after: str, **more: Any) -> dict[str, Any]:
    """A step that refers to a property of each step in `after`."""
    environment = {step: {"Get": f"Steps.{step}.ModelName"} for step in after}
    container = {"Image": "image", "Environment": environment}
    arguments = {"ExecutionRoleArn": ROLE, "PrimaryContainer": container}
    return {"Name": name, "Type": "Model", "Arguments": arguments, **more}


def condition(name: str, left: Any, *, yes: list[Any], no: list[Any]) -> dict[str, Any]:
    conditions = [{"Type": "Equals", "LeftValue": left, "RightValue": "yes"}]
    return {"Name": name, "Type": "Condition", "Arguments": {"Conditions": conditions, "IfSteps": yes, "ElseSteps": no}}


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    account = Account(tmp_path)
    yield account
    account.gate.set()
    account.pipelines.close()


@pytest.fixture
def chain(account: Account) -> Account:
    """A -> B -> C -> D, and E after A."""
    account.create(model("A"), model("B", "A"), model("C", "B"), model("D", "C"), model("E", "A"))
    return account


def refused(code: str, account: Account, operation: str, **request: Any) -> str:
    with pytest.raises(ServiceError) as error:
        account.call(operation, **request)
    assert error.value.code == code
    return error.value.message


def selecting(*steps: str, source: str = "") -> dict[str, Any]:
    config: dict[str, Any] = {"SelectedSteps": [{"StepName": step} for step in steps]}
    return {"SelectiveExecutionConfig": config | ({"SourcePipelineExecutionArn": source} if source else {})}


# ------------------------------------------------------------------------------------------------------- selection


def test_selected_steps_run_with_the_results_of_their_source_and_nothing_else_runs(chain: Account) -> None:
    source = chain.start()
    assert chain.wait(source)["PipelineExecutionStatus"] == "Succeeded"
    name = chain.steps(source)["A"]["Metadata"]["Model"]["Arn"].rsplit("/", 1)[-1]
    chain.created.clear()
    run = chain.wait(arn := chain.start(**selecting("B", "C", source=source)))
    assert run["PipelineExecutionStatus"] == "Succeeded"
    assert run["SelectiveExecutionConfig"]["SourcePipelineExecutionArn"] == source
    assert chain.created == ["B", "C"]
    assert chain.environments["B"] == {"A": name}
    steps = chain.steps(arn)
    assert set(steps) == {"A", "B", "C"}
    assert steps["A"]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": source}
    assert "SelectiveExecutionResult" not in steps["B"]


def test_a_selection_without_needs_wants_no_source(chain: Account) -> None:
    chain.wait(chain.start(**selecting("A")))
    assert chain.created == ["A"]


@pytest.mark.parametrize(
    ("selected", "reason"),
    [
        (["B", "D"], r"all steps in all paths.*\[C\] are not"),
        (["A", "C"], r"all steps in all paths.*\[B\] are not"),
        (["B", "E"], r"\[E\] are not connected with B"),
        (["Z"], r"has no step \[Z\]"),
    ],
)
def test_a_selection_that_is_no_connected_part_of_the_graph_is_refused(
    chain: Account, selected: list[str], reason: str
) -> None:
    chain.wait(source := chain.start())
    with pytest.raises(ServiceError, match=reason):
        chain.start(**selecting(*selected, source=source))


def test_a_source_is_wanted_that_has_done_what_the_selected_steps_need(chain: Account) -> None:
    with pytest.raises(ServiceError, match=r"Arn: null. The selected steps \[C, D\] have dependencies on \[B\]$"):
        chain.start(**selecting("C", "D"))
    chain.failing.add("B")
    chain.wait(source := chain.start())
    with pytest.raises(ServiceError, match=r"dependencies on \[B\], which did not succeed"):
        chain.start(**selecting("C", source=source))
    chain.failing.clear()
    assert chain.wait(chain.start(**selecting("B", "C", source=source)))["PipelineExecutionStatus"] == "Succeeded"


def test_a_source_is_an_ended_execution_of_the_same_pipeline(chain: Account) -> None:
    chain.create(model("A"), model("B", "A"), name="other")
    chain.wait(foreign := chain.start("other"))
    with pytest.raises(ServiceError, match="is no execution of this pipeline"):
        chain.start(**selecting("B", source=foreign))
    chain.gate.clear()
    running = chain.start()
    with pytest.raises(ServiceError, match="The execution is Executing"):
        chain.start(**selecting("B", source=running))
    with pytest.raises(ServiceError) as missing:
        chain.start(**selecting("B", source=f"{running}x"))
    assert missing.value.code == "ResourceNotFound"


def test_a_step_of_a_branch_follows_the_condition_of_its_source(account: Account) -> None:
    parameters = [{"Name": "Way", "Type": "String", "DefaultValue": "yes"}]
    way = {"Get": "Parameters.Way"}
    account.create(condition("Gate", way, yes=[model("Yes")], no=[model("No")]), Parameters=parameters)
    account.wait(source := account.start())
    account.created.clear()
    account.wait(account.start(**selecting("Yes", source=source)))
    assert account.created == ["Yes"]
    with pytest.raises(ServiceError, match=r"\[No\] is in the branch of Gate that .* did not take"):
        account.start(**selecting("No", source=source))
    # The condition may be selected with the step, and decides again.
    no = [{"Name": "Way", "Value": "no"}]
    account.wait(account.start(PipelineParameters=no, **selecting("Gate", "No")))
    assert account.created == ["Yes", "No"]


# --------------------------------------------------------------------------------------------------------- retries


def test_a_retry_continues_under_the_same_arn_without_what_has_succeeded(chain: Account) -> None:
    chain.failing.add("C")
    run = chain.wait(arn := chain.start())
    assert (run["PipelineExecutionStatus"], "C does not work" in run["FailureReason"]) == ("Failed", True)
    chain.failing.clear()
    chain.created.clear()
    assert chain.retry(arn) == arn
    run = chain.wait(arn)
    assert (run["PipelineExecutionStatus"], run.get("FailureReason")) == ("Succeeded", None)
    assert chain.created == ["C", "D"]
    assert {step["StepStatus"] for step in chain.steps(arn).values()} == {"Succeeded"}
    assert "FailureReason" not in chain.steps(arn)["C"]


def test_a_retry_that_fails_can_be_retried_and_a_token_retries_once(chain: Account) -> None:
    chain.failing.add("B")
    chain.wait(arn := chain.start())
    chain.retry(arn, TOKEN)
    chain.wait(arn)
    before = len(chain.created)
    chain.retry(arn, TOKEN)
    assert (chain.wait(arn)["PipelineExecutionStatus"], len(chain.created)) == ("Failed", before)
    chain.failing.clear()
    chain.retry(arn)
    assert chain.wait(arn)["PipelineExecutionStatus"] == "Succeeded"


def test_a_stopped_and_an_interrupted_execution_can_be_retried_and_a_succeeded_or_running_one_cannot(
    chain: Account,
) -> None:
    chain.gate.clear()
    arn = chain.start()
    with pytest.raises(ServiceError, match="this one is Executing"):
        chain.retry(arn)
    chain.call("StopPipelineExecution", PipelineExecutionArn=arn, ClientRequestToken=TOKEN)
    chain.gate.set()
    assert chain.wait(arn)["PipelineExecutionStatus"] == "Stopped"
    chain.retry(arn)
    assert chain.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    with pytest.raises(ServiceError, match="this one is Succeeded") as error:
        chain.retry(arn)
    assert error.value.code == "ConflictException"
    chain.gate.clear()
    interrupted = chain.start()
    first = chain.pipelines
    chain.restart()
    assert chain.wait(interrupted)["PipelineExecutionStatus"] == "Failed"
    chain.gate.set()
    first.close()
    chain.retry(interrupted)
    assert chain.wait(interrupted)["PipelineExecutionStatus"] == "Succeeded"


def test_a_retry_of_a_selective_execution_keeps_its_selection(chain: Account) -> None:
    chain.wait(source := chain.start())
    chain.failing.add("C")
    chain.wait(arn := chain.start(**selecting("B", "C", source=source)))
    chain.failing.clear()
    chain.created.clear()
    chain.retry(arn)
    assert (chain.wait(arn)["PipelineExecutionStatus"], chain.created) == ("Succeeded", ["C"])


# -------------------------------------------------------------------------------------------- tokens and parallelism


def test_one_token_under_sixteen_clients_starts_one_execution(account: Account) -> None:
    account.create(model("A"))
    with ThreadPoolExecutor(16) as pool:
        arns = set(pool.map(lambda _: account.start(token=TOKEN), range(16)))
    assert len(arns) == 1
    account.wait(arns.pop())
    assert account.created == ["A"]
    assert len(account.call("ListPipelineExecutions", PipelineName="bins")["PipelineExecutionSummaries"]) == 1


def test_one_token_under_sixteen_clients_creates_one_pipeline_and_retries_once(account: Account) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: account.create(model("A")), range(16)))) == 1
    assert len(account.call("ListPipelineVersions", PipelineName="bins")["PipelineVersionSummaries"]) == 1
    account.failing.add("A")
    account.wait(arn := account.start())
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: account.retry(arn, TOKEN), range(16)))
    account.wait(arn)
    assert account.created == ["A", "A"]


def test_a_limit_of_parallel_steps_is_the_runs_before_the_pipelines_and_can_be_raised_while_it_runs(
    account: Account,
) -> None:
    account.create(*(model(name) for name in "ABC"))
    account.gate.clear()
    arn = account.start(ParallelismConfiguration={"MaxParallelExecutionSteps": 1})
    eventually(lambda: account.created == ["A"])
    account.call(
        "UpdatePipelineExecution",
        PipelineExecutionArn=arn,
        ParallelismConfiguration={"MaxParallelExecutionSteps": 2},
        PipelineExecutionDescription="two at a time",
        PipelineExecutionDisplayName="renamed",
    )
    eventually(lambda: account.created == ["A", "B"])
    account.gate.set()
    run = account.wait(arn)
    assert run["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 2}
    assert (run["PipelineExecutionDescription"], run["PipelineExecutionDisplayName"]) == ("two at a time", "renamed")
    refused("ResourceNotFound", account, "UpdatePipelineExecution", PipelineExecutionArn=f"{arn}x")


def eventually(holds: Any) -> None:
    deadline = time.monotonic() + FOREVER
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -------------------------------------------------------------------------------------------------------- versions


def versions(account: Account, **request: Any) -> list[dict[str, Any]]:
    answer = account.call("ListPipelineVersions", PipelineName="bins", **request)
    return list(answer["PipelineVersionSummaries"])


def test_each_change_of_the_definition_creates_a_version_that_can_be_described_and_started(account: Account) -> None:
    arn = account.create(model("A"))
    changed = definition(model("B"))
    assert account.call("UpdatePipeline", PipelineName="bins", PipelineDefinition=changed)["PipelineVersionId"] == 2
    assert account.call("UpdatePipeline", PipelineName="bins", PipelineDescription="x")["PipelineVersionId"] == 2
    assert account.call("UpdatePipeline", PipelineName="bins", PipelineDefinition=changed)["PipelineVersionId"] == 2
    first = account.start(PipelineVersionId=1)
    assert account.wait(first)["PipelineVersionId"] == 1
    assert account.wait(account.start())["PipelineVersionId"] == 2
    assert account.created == ["A", "B"]
    assert [version["PipelineVersionId"] for version in versions(account)] == [2, 1]
    assert [version["PipelineVersionId"] for version in versions(account, SortOrder="Ascending", MaxResults=1)] == [1]
    assert versions(account)[1]["LastExecutionPipelineExecutionArn"] == first
    assert versions(account)[1]["PipelineArn"] == arn
    described = account.call("DescribePipeline", PipelineName="bins", PipelineVersionId=1)
    assert described["PipelineDefinition"] == definition(model("A"))
    assert account.call("DescribePipeline", PipelineName="bins")["PipelineDefinition"] == changed


def test_versions_are_filtered_by_time_and_paged(account: Account) -> None:
    account.create(model("A"))
    for name in "BC":
        time.sleep(0.005)
        account.call("UpdatePipeline", PipelineName="bins", PipelineDefinition=definition(model(name)))

    def numbers(**request: Any) -> list[int]:
        return [version["PipelineVersionId"] for version in versions(account, **request)]

    second = versions(account)[1]["CreationTime"]
    assert numbers(CreatedAfter=second + 0.001) == [3]
    assert numbers(CreatedBefore=second - 0.001) == [1]
    assert numbers(CreatedAfter=second, CreatedBefore=second) == [2]
    first = account.call("ListPipelineVersions", PipelineName="bins", MaxResults=2)
    assert numbers(MaxResults=2, NextToken=first["NextToken"]) == [1]


def test_a_version_that_is_not_there_is_not_found_and_a_version_cannot_be_named_twice(account: Account) -> None:
    account.create(model("A"))
    for operation in ("DescribePipeline", "StartPipelineExecution"):
        token = {"ClientRequestToken": TOKEN} if operation.startswith("Start") else {}
        for named in ({"PipelineVersionId": 7}, {"PipelineVersionAlias": "live"}):
            refused("ResourceNotFound", account, operation, PipelineName="bins", **named, **token)
        both = {"PipelineVersionId": 1, "PipelineVersionAlias": "live"}
        assert "not both" in refused("ValidationException", account, operation, PipelineName="bins", **both, **token)
    refused("ResourceNotFound", account, "ListPipelineExecutions", PipelineName="bins", PipelineVersionAlias="live")


def test_aliases_belong_to_one_version_and_move_by_removal(account: Account) -> None:
    arn = account.create(model("A"))

    def change(number: int, **operations: list[str]) -> dict[str, Any]:
        request = {"PipelineArn": arn, "PipelineVersionId": number, "PipelineVersionAliasOperations": operations}
        return account.call("UpdatePipelineVersion", **request)

    change(1, Add=["live", "first"])
    second = {"PipelineName": "bins", "PipelineDefinition": definition(model("B"))}
    with pytest.raises(ServiceError, match="Version 1 has the alias live; remove it there first"):
        account.call("UpdatePipeline", **second, PipelineVersionAliases=["live"])
    assert len(versions(account)) == 1
    account.call("UpdatePipeline", **second, PipelineVersionAliases=["canary"])
    with pytest.raises(ServiceError, match="only when the update changes"):
        account.call("UpdatePipeline", **second, PipelineVersionAliases=["other"])
    change(1, Remove=["live"])
    change(2, Add=["live"])
    arns = [account.start(PipelineVersionAlias=alias) for alias in ("live", "first")]
    assert [account.wait(run)["PipelineVersionId"] for run in arns] == [2, 1]
    assert account.wait(arns[0])["PipelineVersionAliases"] == ["canary", "live"]
    listed = account.call("ListPipelineExecutions", PipelineName="bins", PipelineVersionAlias="first")
    assert [run["PipelineExecutionArn"] for run in listed["PipelineExecutionSummaries"]] == [arns[1]]
    with pytest.raises(ServiceError, match="numbers only"):
        change(1, Add=["42"])
    with pytest.raises(ServiceError, match="has no alias nothing"):
        change(1, Remove=["nothing"])
    with pytest.raises(ServiceError, match="can have 10 aliases, not 11"):
        change(1, Add=[f"a{number}" for number in range(10)])


def test_a_version_has_a_name_and_a_description_and_goes_with_its_pipeline(account: Account) -> None:
    arn = account.create(model("A"))
    named = {"PipelineVersionDisplayName": "first", "PipelineVersionDescription": "the first one"}
    account.call("UpdatePipelineVersion", PipelineArn=arn, PipelineVersionId=1, **named)
    assert named.items() <= account.call("DescribePipeline", PipelineName="bins").items()
    assert named.items() <= versions(account)[0].items()
    account.call("UpdatePipeline", PipelineName="bins", PipelineDefinition=definition(model("B")))
    assert "PipelineVersionDisplayName" not in account.call("DescribePipeline", PipelineName="bins")
    account.call("DeletePipeline", PipelineName="bins", ClientRequestToken=TOKEN)
    account.create(model("A"))
    assert [version["PipelineVersionId"] for version in versions(account)] == [1]
    refused("ResourceNotFound", account, "UpdatePipelineVersion", PipelineArn=arn, PipelineVersionId=2)


def test_a_pipeline_of_an_earlier_release_has_its_definition_as_the_first_version(account: Account) -> None:
    account.create(model("A"))
    assert account.context.store.delete("pipeline-version", "bins/1")
    account.restart()
    assert [version["PipelineVersionId"] for version in versions(account)] == [1]
    assert account.wait(account.start())["PipelineExecutionStatus"] == "Succeeded"


def test_a_name_in_the_arguments_is_the_beginning_of_a_new_name_each_time(account: Account) -> None:
    step = model("A")
    step["Arguments"]["ModelName"] = "a-b-mine"
    account.create(step)
    for _ in range(2):
        assert account.wait(account.start())["PipelineExecutionStatus"] == "Succeeded"
    assert account.created == ["mine", "mine"]


# ----------------------------------------------------------------------------------------- members of other requests


def test_a_definition_may_lie_in_s3(account: Account) -> None:
    account.files["code/large.json"] = definition(model("A")).encode()
    place = {"Bucket": "code", "ObjectKey": "large.json"}
    request = {"PipelineName": "bins", "RoleArn": ROLE, "PipelineDefinitionS3Location": place}
    account.call("CreatePipeline", ClientRequestToken=TOKEN, **request)
    assert account.call("DescribePipeline", PipelineName="bins")["PipelineDefinition"] == definition(model("A"))
    both = {**request, "PipelineDefinition": definition(model("A"))}
    refused("ValidationException", account, "CreatePipeline", ClientRequestToken=TOKEN, **both)
    account.files["code/large.json"] = b"\xff"
    message = refused(
        "ValidationException", account, "UpdatePipeline", PipelineName="bins", **{"PipelineDefinitionS3Location": place}
    )
    assert "s3://code/large.json" in message


def test_a_role_is_refused_as_aws_refuses_it_and_never_described(account: Account) -> None:
    account.create(model("A"))
    request = {"PipelineName": "bins", "ClientRequestToken": TOKEN, "RoleArn": ROLE}
    assert "pipelines that AWS manages only" in refused(
        "ValidationException", account, "StartPipelineExecution", **request
    )
    assert "RoleArn" not in account.wait(account.start())


def test_a_function_may_be_a_parameter_of_the_run(account: Account) -> None:
    """Kind: a placeholder that is taken at creation has its value in the run."""
    invoked = []
    functions = SimpleNamespace(
        invoke=lambda name, event: invoked.append((name, event)) or SimpleNamespace(error=None, payload=b"{}")
    )
    account.restart(functions)
    step = {"Name": "F", "Type": "Lambda", "FunctionArn": {"Get": "Parameters.Function"}, "Arguments": {"a": 1}}
    account.create(step, Parameters=[{"Name": "Function", "Type": "String"}])
    arn = "arn:aws:lambda:us-east-1:123456789012:function:notify"
    account.wait(account.start(PipelineParameters=[{"Name": "Function", "Value": arn}]))
    assert invoked == [(arn, b'{"a": 1}')]


def test_steps_show_their_names_and_descriptions(account: Account) -> None:
    shown = {"DisplayName": "Create the model", "Description": "Everything begins here"}
    account.create(model("A", **shown), model("B"))
    account.wait(arn := account.start())
    steps = account.steps(arn)
    assert steps["A"]["StepDisplayName"] == shown["DisplayName"]
    assert steps["A"]["StepDescription"] == shown["Description"]
    assert not {"StepDisplayName", "StepDescription"} & set(steps["B"])


@pytest.mark.parametrize("empty", ["PipelineExperimentConfig", "MlflowConfig"])
def test_what_the_sdks_send_as_null_is_taken_and_names_no_experiment(account: Account, empty: str) -> None:
    account.create(model("A"), **{empty: None})
    assert "PipelineExperimentConfig" not in account.wait(account.start())


def test_an_experiment_is_described_as_the_definition_names_it_and_mlflow_is_refused(account: Account) -> None:
    names = {
        "ExperimentName": {"Get": "Execution.PipelineName"},
        "TrialName": {"Std:Join": {"On": "-", "Values": ["t", {"Get": "Execution.PipelineExecutionId"}]}},
    }
    account.create(model("A"), name="Bins", PipelineExperimentConfig=names)
    run = account.wait(arn := account.start("Bins"))
    trial = f"t-{arn.rsplit('/', 1)[-1]}"
    assert run["PipelineExperimentConfig"] == {"ExperimentName": "bins", "TrialName": trial}
    with pytest.raises(ServiceError, match="has no MLflow"):
        account.create(model("A"), name="other", MlflowConfig={"MlflowExperimentName": "x"})


def test_lists_are_filtered_sorted_and_paged(account: Account) -> None:
    for name in ("red", "green", "red-2"):
        account.create(model("A"), name=name)
        time.sleep(0.002)
    account.wait(arn := account.start("green"))

    def names(**request: Any) -> list[str]:
        return [entry["PipelineName"] for entry in account.call("ListPipelines", **request)["PipelineSummaries"]]

    created = account.call("DescribePipeline", PipelineName="green")["CreationTime"]
    assert names() == ["red-2", "green", "red"]
    assert names(PipelineNamePrefix="red", SortOrder="Ascending") == ["red", "red-2"]
    assert names(SortBy="Name", SortOrder="Ascending") == ["green", "red", "red-2"]
    assert names(CreatedAfter=created + 0.001) == ["red-2"]
    assert names(CreatedBefore=created - 0.001) == ["red"]
    assert (names(ManagedBy="AWS"), len(names(ManagedBy="CUSTOMER"))) == ([], 3)
    first = account.call("ListPipelines", MaxResults=2)
    assert names(MaxResults=2, NextToken=first["NextToken"]) == ["red"]
    (green,) = account.call("ListPipelines", PipelineNamePrefix="green")["PipelineSummaries"]
    run = account.call("DescribePipelineExecution", PipelineExecutionArn=arn)
    assert green["LastExecutionTime"] == run["CreationTime"]
    for window, expected in (({"CreatedAfter": run["CreationTime"] + 1}, 0), ({"CreatedBefore": created}, 0), ({}, 1)):
        listed = account.call("ListPipelineExecutions", PipelineName="green", **window)
        assert len(listed["PipelineExecutionSummaries"]) == expected


# ---------------------------------------------------------------------------------------------------------- events


def test_the_events_of_an_execution_and_its_steps_have_the_documented_members(account: Account) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html."""
    account.failing = {"B"}
    account.create(model("A"), model("B", "A"))
    arn = account.start(PipelineExecutionDisplayName="nightly", PipelineExecutionDescription="every night")
    account.wait(arn)
    runs = [detail for detail in account.events if "currentPipelineExecutionStatus" in detail]
    begun, ended = runs
    times = {"executionStartTime", "executionEndTime"}
    assert {name: value for name, value in ended.items() if name not in times} == {
        "pipelineExecutionDisplayName": "nightly",
        "pipelineExecutionDescription": "every night",
        "currentPipelineExecutionStatus": "Failed",
        "previousPipelineExecutionStatus": "Executing",
        "pipelineArn": arn.partition("/execution/")[0],
        "pipelineExecutionArn": arn,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", ended["executionEndTime"])
    assert not {"executionEndTime", "previousPipelineExecutionStatus"} & set(begun)
    first, *_, last = [detail for detail in account.events if detail.get("stepName") == "B"]
    assert (first["currentStepStatus"], first["stepType"]) == ("Executing", "Model")
    assert (last["previousStepStatus"], last["currentStepStatus"]) == ("Executing", "Failed")
    assert "B does not work" in last["failureReason"]
    (done,) = [detail for detail in account.events if detail.get("currentStepStatus") == "Succeeded"]
    assert done["metadata"]["model"]["arn"].startswith("arn:aws:sagemaker:")
    assert "failureReason" not in done


def test_the_event_of_a_retry_names_the_status_before(account: Account) -> None:
    account.failing = {"A"}
    account.create(model("A"))
    arn = account.start()
    account.wait(arn)
    account.failing = set()
    account.retry(arn)
    account.wait(arn)
    runs = [detail for detail in account.events if "currentPipelineExecutionStatus" in detail]
    statuses = [(run.get("previousPipelineExecutionStatus"), run["currentPipelineExecutionStatus"]) for run in runs]
    assert statuses == [
        (None, "Executing"),
        ("Executing", "Failed"),
        ("Failed", "Executing"),
        ("Executing", "Succeeded"),
    ]
