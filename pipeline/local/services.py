"""The operations that the local cloud answers itself: handlers by service and operation. Moto answers all others.

Other operations of SageMaker, its runtime, Athena, CloudFormation, CloudWatch Logs and EventBridge Scheduler are
answered with the error for an unknown operation. Lambda's Invoke, EventBridge's PutEvents, ECR's DescribeImages,
IAM's SimulatePrincipalPolicy, and SNS's Publish and PublishBatch are answered here, and their services' other
operations by moto.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import logging
from collections.abc import Callable
from typing import Any

from pipeline.local import members
from pipeline.local.athena import Athena, Connection, S3Access
from pipeline.local.cloudformation.service import CloudFormation
from pipeline.local.cloudwatch import CloudWatch
from pipeline.local.container_registry import ContainerRegistry
from pipeline.local.context import Context, Request, ServiceError
from pipeline.local.events import Events
from pipeline.local.identity.authorizer import check_documents
from pipeline.local.identity.caller import Caller, acting, current
from pipeline.local.identity.identity import Identity
from pipeline.local.identity.simulation import simulate
from pipeline.local.identity.sts import Sts
from pipeline.local.logs import Logs
from pipeline.local.machine.functions import Functions
from pipeline.local.machine.image_store import ImageRegistry
from pipeline.local.sagemaker.endpoints import Endpoints
from pipeline.local.sagemaker.jobs import JobServices
from pipeline.local.sagemaker.models import Models
from pipeline.local.sagemaker.pipelines import Pipelines
from pipeline.local.sagemaker.processing import ProcessingJobs
from pipeline.local.sagemaker.registry import ModelRegistry
from pipeline.local.sagemaker.steps import StepRunners
from pipeline.local.sagemaker.tags import Tags
from pipeline.local.sagemaker.training import TrainingJobs
from pipeline.local.sagemaker.transform import TransformJobs
from pipeline.local.sagemaker.tuning import TuningJobs
from pipeline.local.scheduler import Scheduler
from pipeline.local.scheduler.targets import Targets
from pipeline.local.topics import Topics

log = logging.getLogger(__name__)

# Services with other operations in moto.
_SHARED = ("events", "ecr", "iam", "sns")
# Operations that begin nothing, or end something.
_WITHOUT_SPACE = ("Describe", "List", "Get", "BatchGet", "Filter", "Stop", "Delete", "AssumeRole")
Handler = Callable[[Request], Request]


class Services:
    """All services of one cloud."""

    def __init__(self, context: Context, *, audit: bool = False) -> None:
        self.context = context
        self.logs = Logs(context.directory / "logs", context.arn)
        self.identity = Identity(context, audit=audit)
        self.functions = Functions(context, self.logs, self.identity)
        self.events = Events(context, self.functions, self.identity)
        images = ImageRegistry(context.directory / "images")
        self._topics = Topics(context, self.identity)
        self._cloudwatch = CloudWatch(context, functools.partial(self._topics.publish_as, "cloudwatch"))
        self._cloudwatch.start()
        job_services = JobServices(context, self.logs, images, self.identity, self._cloudwatch)
        self._faults = job_services.faults
        self._tags = Tags(context.store)
        self._registry = ModelRegistry(context, self.events, self.identity)
        self._processing = ProcessingJobs(job_services, self.events)
        self._training = TrainingJobs(job_services)
        self._tuning = TuningJobs(job_services, self._training)
        self._models = Models(context, self._registry, self.identity)
        self.endpoints = Endpoints(job_services, self._models, self.events, self._cloudwatch)
        self._transform = TransformJobs(job_services, self._models)
        runners = StepRunners(
            processing=self._processing,
            training=self._training,
            tuning=self._tuning,
            functions=self.functions,
            call=self.call,
            authorize=self.authorize,
        )
        self._pipelines = Pipelines(context, runners, self.events, self.identity)
        self._athena = Athena(context.store, self._connect_athena, self._authorize_athena)
        self._cloudformation = CloudFormation(context, self._connect_cloudformation)
        self._scheduler = Scheduler(
            context, Targets(self.identity, self.call, self.authorize, self.functions.invoke_later)
        )
        self.table: dict[str, dict[str, Handler]] = {
            "sagemaker": {
                **self._pipelines.operations(),
                **self._processing.operations(),
                **self._training.operations(),
                **self._tuning.operations(),
                **self._registry.operations(),
                **self._transform.operations(),
                **self._models.operations(),
                **self.endpoints.operations(),
                **self._tags.operations(),
            },
            "athena": self._athena.operations(),
            "logs": self.logs.operations(),
            "cloudformation": self._cloudformation.operations(),
            "events": self.events.operations(),
            "ecr": ContainerRegistry(context, images).operations(),
            "iam": {"SimulatePrincipalPolicy": self._simulate},
            "scheduler": self._scheduler.operations(),
            "sns": self._topics.operations(),
            "sts": Sts(self.identity, context.account_id).operations(),
        }

    def _connect_athena(self) -> Connection:
        """Glue and S3 for the caller of the present request, in a session that names Athena (aws:CalledVia)."""
        caller = current()
        if not caller.is_root:
            caller = dataclasses.replace(caller, called_via=(*caller.called_via, "athena.amazonaws.com"))
        clients = {service: self.identity.client(caller, service) for service in ("glue", "s3")}
        environment = self.context.environment
        keys = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
        token = None
        if not caller.is_root:
            issued = self.identity.credentials(caller)
            keys, token = (issued.access_key, issued.secret_key), issued.token
        access = S3Access(environment["AWS_ENDPOINT_URL_S3"], *keys, self.context.region, token)
        return Connection(clients["glue"], clients["s3"], access)

    def _authorize_athena(self, operation: str, request: Request) -> None:
        """Refuse what a query of the present request's caller does besides, as the operation. Raises ServiceError."""
        self.identity.authorizer.authorize(current(), "athena", operation, request)

    def _connect_cloudformation(self, service: str) -> Any:
        """A client of the caller whose stack is worked on; of the root user for a stack that a start restores."""
        caller = current(self.identity.root)
        if not caller.is_root:
            caller = dataclasses.replace(caller, called_via=(*caller.called_via, "cloudformation.amazonaws.com"))
        return self.identity.client(caller, service)

    def _simulate(self, request: Request) -> Request:
        return simulate(request, self.identity.authorizer.roles())

    def owns(self, service: str, operation: str) -> bool:
        """Whether a request is answered here, if only with an error, and not by moto."""
        return service in self.table and (service not in _SHARED or operation in self.table[service])

    def authorize(self, caller: Caller, service: str, operation: str, request: Request) -> None:
        """Refuse a request that the caller's policies do not allow. Raises ServiceError."""
        if service == "athena" and (query_id := request.get("QueryExecutionId")):
            request = {**request, "WorkGroup": self._athena.workgroup_of(query_id)}
        if service == "athena" and (ids := request.get("QueryExecutionIds")):
            # The permission of each query's work group.
            for workgroup in self._athena.workgroups_of(ids):
                self.identity.authorizer.authorize(caller, service, operation, {**request, "WorkGroup": workgroup})
        else:
            self.identity.authorizer.authorize(caller, service, operation, request)
        if service == "iam":
            check_documents(request)
        if throttled := self._faults.refusal(service, operation):
            raise throttled

    def validate(self, service: str, operation: str, request: Request) -> None:
        """Refuse a request for moto that the service's model refuses, before it is decided. Raises ServiceError.

        EC2's lists have a form of their own in requests, which is not read; its calls here have no resources.
        """
        if service != "ec2":
            _validate_request(service, operation, request)

    def prepare(self, service: str, operation: str, request: Request) -> None:
        """What comes of a request that moto answers next: settings that it does not store. Raises ServiceError.

        A request is refused here if moto would take what nothing in the local cloud carries out.
        """
        if service == "lambda" and operation in ("CreateFunction", "UpdateFunctionConfiguration"):
            self.functions.configure(request["FunctionName"], request, created=operation == "CreateFunction")
        elif service == "events":
            self.events.check(operation, request)
        elif service == "cloudwatch":
            self._cloudwatch.check(operation, request)
        elif service == "sns":
            self._topics.check(operation, request)

    def call(self, service: str, operation: str, request: Request, caller: Caller) -> Request:
        """Answer a caller's request of an operation in the table. Raises ServiceError."""
        handler = self.table[service].get(operation)
        if handler is None:
            raise ServiceError("UnknownOperationException", f"The local cloud does not answer {service}:{operation}.")
        _validate_request(service, operation, request)
        self.authorize(caller, service, operation, request)
        self._need_space(operation)
        with acting(caller):
            response = handler(request)
        if service == "sagemaker" and operation.startswith("Create"):
            self._tags.add_created(request, response)
        _validate_response(service, operation, response)
        return response

    def _need_space(self, operation: str) -> None:
        """Begin nothing new while the disk is too full for the end of what has begun. Raises ServiceError."""
        if not self.context.store.write_kept() and not operation.startswith(_WITHOUT_SPACE):
            raise ServiceError("InternalFailure", self.context.reason(OSError(errno.ENOSPC, "changes wait there")), 500)

    def restore(self) -> None:
        """Restore stacks, endpoints and invocations after a restart, and start the scheduler."""
        self._cloudformation.restore()
        self.identity.authorizer.restore()
        self._pipelines.restore()
        self.endpoints.restore()
        self.functions.restore()
        self.events.start()
        self._scheduler.start()

    def close(self) -> None:
        """Stop everything, executions before their jobs."""
        self._scheduler.close()
        self._cloudformation.close()
        jobs = (self._pipelines, self._tuning, self._training, self._processing, self._transform)
        for service in (*jobs, self._athena, self.endpoints, self._cloudwatch, self.events, self.functions):
            service.close()


def _validate_request(service: str, operation: str, request: Request) -> None:
    from pipeline.aws.validation import validate_request

    if problems := validate_request(service, operation, request):
        raise ServiceError("ValidationException", "; ".join(map(str, problems)))
    if missing := members.problems(service, operation, request):
        raise ServiceError("ValidationException", " ".join(missing))


def _validate_response(service: str, operation: str, response: Request) -> None:
    from pipeline.aws.validation import validate_response

    if problems := validate_response(service, operation, response):
        log.error("%s:%s: the answer does not fit the service's model: %s", service, operation, problems)
        message = f"The local cloud's answer to {operation} does not fit the model: {'; '.join(map(str, problems))}"
        raise ServiceError("InternalFailure", message, 500)
