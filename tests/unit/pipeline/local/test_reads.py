"""Kind: a member that the tables of members call honoured, and that no code reads.

Each path below `read` and `only` in pipeline/local/members is looked up in the source of the modules that answer its
operation: those of its handler and of the handler's classes, and what they import of pipeline.local. A read is the name
of the member as a text that is not written: in a subscript, an argument, a comparison, a tuple of names. Docstrings,
keys of dictionaries that are built, and targets of assignments do not count. All names of a path have to be read, and a
path that contains others is read with all of them. A member below `described` has to be in the answer of the operation
that describes its resource. The last test shows what this is worth: it calls each refused member read.

Filters of lists are not looked up: test_lists.py proves each by what is listed.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import ROOT
from pipeline.aws.validation.shapes import service_model
from pipeline.local import members
from pipeline.local.context import Context
from pipeline.local.services import Services
from pipeline.local.store import Store
from pipeline.local.wire.protocol import Application
from tests.unit.pipeline.local.test_members import SERVICES, ancestors, environment, paths

# Parts of the local cloud through which every module reaches every other one.
OUTSIDE = ("pipeline.local.services", "pipeline.local.members", "pipeline.local.identity", "pipeline.local.wire.query")
SAGEMAKER = "pipeline.local.sagemaker."
# Modules that use what another one stores.
USED_BY = {
    "CreateEndpointConfig": {f"{SAGEMAKER}endpoints"},
    "CreateModel": {f"{SAGEMAKER}serving"},
    "CreateModelPackage": {f"{SAGEMAKER}models"},
    "UpdateModelPackage": {f"{SAGEMAKER}models"},
    "InvokeEndpoint": {f"{SAGEMAKER}endpoints"},
    "CreateSchedule": {f"{SAGEMAKER}pipelines"},
    "UpdateSchedule": {f"{SAGEMAKER}pipelines"},
    "SimulatePrincipalPolicy": {"pipeline.local.identity.simulation"},
    "AssumeRole": {"pipeline.local.identity.conditions"},
}
# The body of an invocation is no member of a document.
BODIES = {("InvokeEndpoint", "Body")}
# Names of members in the answer that describes the resource, where they are not those of the request.
RENAMED = {"AdditionalInferenceSpecificationsToAdd": "AdditionalInferenceSpecifications"}
# Members that are read by the beginning of their names.
BY_BEGIN = {"UpdateWorkGroup": "Remove"}
# Refused members all of whose names are read, in another place: the lookup cannot tell them apart.
# The modules of the last two read the members of all services, for the conditions of policies.
ELSEWHERE = {
    "CreateChangeSet": {"Tags"},
    "CreateEndpoint": {"DeploymentConfig"},
    "CreateEndpointConfig": {"EnableNetworkIsolation", "ExecutionRoleArn"},
    "CreateHyperParameterTuningJob": {
        "TrainingJobDefinition.ResourceConfig.TrainingPlanArn",
        "TrainingJobDefinition.TuningObjective",
    },
    "CreateModelPackage": {"ModelPackageName"},
    "CreateTrainingJob": {"ResourceConfig.TrainingPlanArn"},
    "DescribeStackResources": {"PhysicalResourceId"},
    "UpdateWorkGroup": {
        "ConfigurationUpdates.ResultConfigurationUpdates.RemoveExpectedBucketOwner",
        "ConfigurationUpdates.RemoveCustomerContentEncryptionConfiguration",
    },
    "AssumeRole": {"PolicyArns", "Tags", "TransitiveTagKeys", "SerialNumber", "TokenCode", "SourceIdentity"},
    "SimulatePrincipalPolicy": {"PolicyExclusionList", "ResourcePolicy", "CallerArn", "ResourceHandlingOption"},
}
# Operations that moto answers and others read from its backends, and one that the protocol's module answers.
OF_MOTO = {
    ("cloudwatch", "PutMetricAlarm"),
    ("cloudwatch", "GetMetricData"),
    ("cloudwatch", "GetMetricStatistics"),
    ("events", "PutRule"),
    ("events", "PutTargets"),
    ("lambda", "Invoke"),
}
PARTS = ("ListPipelineExecutionSteps", "ListPipelineParametersForExecution", "ListTags")


def reads(tree: ast.AST) -> Iterator[str]:
    """Texts in a module's code that can read a member of that name."""
    written: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            written.add(id(node.value))
        elif isinstance(node, ast.Dict):
            written |= {id(key) for key in node.keys}
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            written.add(id(node.slice))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in written:
            yield node.value


def file_of(name: str) -> Path | None:
    """The file of a module or a package; None for a name within one."""
    path = ROOT / name.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


@functools.cache
def module(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """The texts that a module reads by, and the modules of the local cloud that it imports."""
    tree = ast.parse((file_of(name) or Path(name)).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline.local"):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    own = {name for name in imported if not name.startswith(OUTSIDE) and file_of(name)}
    return frozenset(reads(tree)), frozenset(own)


def read_by(names: set[str]) -> set[str]:
    """The texts that these modules and all that they import read by."""
    texts, waiting, seen = set[str](), set(names), set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        own, imported = module(name)
        texts |= own
        waiting |= imported - seen
    return texts


def sources(operation: str, handler: Callable[..., Any]) -> set[str]:
    """Names of the modules that a handler and its classes are in, and of those that use what it stores."""
    values = [getattr(handler, "__self__", None)]
    values += [cell.cell_contents for cell in getattr(handler, "__closure__", None) or ()]
    classes = {base.__module__ for value in values for base in type(value).__mro__}
    names = {name for name in {handler.__module__, *classes} if name.startswith("pipeline.local.")}
    is_creation = operation.startswith("Create") and any(name.startswith(SAGEMAKER) for name in names)
    tags = {f"{SAGEMAKER}tags"} if is_creation else set()
    return names | tags | USED_BY.get(operation, set())


def leaves(service: str, operation: str, listed: Iterable[str]) -> list[str]:
    """The paths without members of their own that are below the listed ones."""
    every = paths(service_model(service).operation_model(operation).input_shape)
    return [path for path, leaf in every if leaf and set(listed) & set(ancestors(path))]


def unread(service: str, operation: str, handler: Callable[..., Any], listed: Iterable[str]) -> list[str]:
    """The leaves below the listed paths that no module of the operation reads by all of their names."""
    texts = read_by(sources(operation, handler))
    # Jobs put the names of their members together from a kind's prefix.
    texts.add(getattr(getattr(handler, "__self__", None), "name_member", ""))
    if (begin := BY_BEGIN.get(operation)) and begin in texts:
        every = paths(service_model(service).operation_model(operation).input_shape)
        texts |= {name for path, _ in every if (name := path.rpartition(".")[2]).startswith(begin)}
    return [path for path in leaves(service, operation, listed) if not texts.issuperset(path.split("."))]


def operations() -> list[tuple[str, str]]:
    """All operations with a table that are answered here, but for SageMaker's lists with filters."""
    return [
        (service, operation)
        for service in SERVICES
        for operation in members.tables(service) or {}
        if (service, operation) not in OF_MOTO
        and not (service == "sagemaker" and operation.startswith("List") and operation not in PARTS)
    ]


@pytest.fixture(scope="module")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Callable[..., Any]]]:
    """The functions that answer, by operation."""
    folder = tmp_path_factory.mktemp("cloud")
    context = Context(folder, "123456789012", "us-east-1", Store(folder / "s"), environment())
    services = Services(context)
    application = Application(services, lambda *_: [])
    by_operation = {name: handler for table in services.table.values() for name, handler in table.items()}
    yield {**by_operation, "InvokeEndpoint": application._invoke_endpoint}
    services.close()


@pytest.mark.parametrize(("service", "operation"), operations())
def test_what_the_table_calls_read_is_read(
    handlers: dict[str, Callable[..., Any]], service: str, operation: str
) -> None:
    table = (members.tables(service) or {})[operation]
    # A member that has one value here needs no code besides the refusal of the others.
    chosen = {path for path, values in table.only.items() if len(values) > 1}
    missing = unread(service, operation, handlers[operation], table.read | chosen)
    assert [path for path in missing if (operation, path) not in BODIES] == []


@pytest.mark.parametrize(("service", "operation"), operations())
def test_what_the_table_calls_described_is_in_the_description(service: str, operation: str) -> None:
    table = (members.tables(service) or {})[operation]
    if not table.described:
        return
    resource = operation.removeprefix("Create").removeprefix("Update").removeprefix("Start")
    answer = service_model(service).operation_model(f"Describe{resource}").output_shape
    answered = {path for path, _ in paths(answer)}
    wanted = {
        path.replace(path.split(".")[0], RENAMED.get(path.split(".")[0], path.split(".")[0]), 1)
        for path in leaves(service, operation, table.described)
    }
    assert sorted(wanted - answered) == []


@pytest.mark.parametrize(("service", "operation"), operations())
def test_a_refused_member_that_were_called_read_would_be_reported(
    handlers: dict[str, Callable[..., Any]], service: str, operation: str
) -> None:
    table = (members.tables(service) or {})[operation]
    wanted = leaves(service, operation, table.refused)
    reported = set(unread(service, operation, handlers[operation], wanted))
    assert [path for path in wanted if path not in reported and not under(path, ELSEWHERE.get(operation, set()))] == []


def under(path: str, listed: set[str]) -> bool:
    return bool(listed & set(ancestors(path)))
