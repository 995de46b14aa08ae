"""The Model Registry: package groups, versions, and the events of their approval.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry.html and, for the event,
https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from botocore.exceptions import ClientError

from pipeline.aws.model_card import problems_of_model_card
from pipeline.aws.responses import says_missing
from pipeline.local.context import Context, Request, ServiceError, now
from pipeline.local.events import Events
from pipeline.local.identity import service_calls
from pipeline.local.identity.caller import current
from pipeline.local.identity.identity import Identity
from pipeline.local.sagemaker.resources import chosen, described, invalid, listing, location, name_of, selected, stored
from pipeline.local.sagemaker.tags import delete_tagged

GROUP = "model-package-group"
PACKAGE = "model-package"
CLIENT_TOKEN = "model-package-token"  # noqa: S105  # a kind of document
_CHANGEABLE = (
    *("ModelApprovalStatus", "ApprovalDescription", "CustomerMetadataProperties"),
    *("ModelCard", "InferenceSpecification", "SourceUri", "ModelLifeCycle"),
)
ADDITIONAL = "AdditionalInferenceSpecifications"
ADDED = "AdditionalInferenceSpecificationsToAdd"
# The default order, by https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListModelPackages.html and the
# page of ListModelPackageGroups.
_OLDEST_FIRST = "Ascending"
_EVENT = (
    *("ModelPackageName", "ModelPackageGroupName", "ModelPackageVersion", "ModelPackageArn"),
    *("ModelPackageDescription", "CreationTime", "InferenceSpecification", "ModelPackageStatus"),
    *("ModelPackageStatusDetails", "ModelApprovalStatus", "CustomerMetadataProperties"),
)


class ModelRegistry:
    """CreateModelPackageGroup, CreateModelPackage, and the other operations of these resources."""

    def __init__(self, context: Context, events: Events, identity: Identity) -> None:
        self._context = context
        self._identity = identity
        self._events = events
        self._versions = threading.Lock()

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {
            "CreateModelPackageGroup": self._create_group,
            "DescribeModelPackageGroup": lambda request: described(
                "DescribeModelPackageGroup", self._group(request["ModelPackageGroupName"])
            ),
            "ListModelPackageGroups": self._list_groups,
            "DeleteModelPackageGroup": self._delete_group,
            "CreateModelPackage": self.create,
            "DescribeModelPackage": self.describe,
            "ListModelPackages": self._list_packages,
            "UpdateModelPackage": self._update,
            "DeleteModelPackage": self._delete,
        }

    def _create_group(self, request: Request) -> Request:
        name = request["ModelPackageGroupName"]
        arn = self._context.arn("sagemaker", f"model-package-group/{name}")
        document = {
            **chosen(request, ("ModelPackageGroupName", "ModelPackageGroupDescription")),
            "ModelPackageGroupArn": arn,
            "CreationTime": now(),
            "CreatedBy": {},
            "ModelPackageGroupStatus": "Completed",
            "NextVersion": 1,
        }
        if not self._context.store.create(GROUP, name, document):
            raise invalid(f"Model Package Group already exists: {arn}")
        return {"ModelPackageGroupArn": arn}

    def _group(self, name: str) -> Request:
        """A group by its name or ARN, of which no part may be another's: the caller's policies decide by it."""
        key = name_of(name)
        missing = invalid(f"ModelPackageGroup {key} does not exist.")
        if name not in (key, self._context.arn("sagemaker", f"model-package-group/{key}")):
            raise missing
        return stored(self._context.store, GROUP, key, missing)

    def _list_groups(self, request: Request) -> Request:
        groups = selected(request, self._context.store.list(GROUP), "ModelPackageGroupName")
        keys = {"Name": "ModelPackageGroupName", "CreationTime": "CreationTime"}
        return listing("ListModelPackageGroups", request, groups, keys, order=_OLDEST_FIRST)

    def _delete_group(self, request: Request) -> Request:
        group = self._group(request["ModelPackageGroupName"])
        name, arn = group["ModelPackageGroupName"], group["ModelPackageGroupArn"]
        if self._packages(name):
            raise ServiceError("ConflictException", f"Model Package Group {name} has versions; delete them first.")
        delete_tagged(self._context.store, GROUP, name, arn)
        return {}

    def create(self, request: Request) -> Request:
        """Register the next version of a group; a request that is sent again, by its ClientToken, registers nothing.

        A token is of its group (assumed): the page of CreateModelPackage says nothing of it.
        """
        if "ModelPackageGroupName" not in request:
            raise invalid("The local cloud registers versions of a ModelPackageGroup only.")
        if request.get("Tags"):
            # "In this case, you cannot supply a tag argument"; the text is assumed.
            raise invalid("Tags can not be specified for a model package version; they are those of its group.")
        group = self._group(request["ModelPackageGroupName"])["ModelPackageGroupName"]
        self._check_specifications(request, [])
        _check_card(request)
        token = f"{group}/{request['ClientToken']}" if "ClientToken" in request else ""
        with self._versions:
            if token and (before := self._context.store.get(CLIENT_TOKEN, token)):
                return {"ModelPackageArn": before["ModelPackageArn"]}
            version = self._group(group)["NextVersion"]
            self._context.store.update(GROUP, group, lambda document: document.update(NextVersion=version + 1))
            name = f"{group}/{version}"
            arn = self._context.arn("sagemaker", f"model-package/{name}")
            if token:
                self._context.store.create(CLIENT_TOKEN, token, {"ModelPackageArn": arn})
        created = now()
        document = {
            **request,
            "ModelPackageGroupName": group,
            "ModelPackageName": name,
            "ModelPackageVersion": version,
            "ModelPackageArn": arn,
            "CreationTime": created,
            "LastModifiedTime": created,
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "ModelApprovalStatus": request.get("ModelApprovalStatus", "PendingManualApproval"),
            "CertifyForMarketplace": False,
        }
        for key in ("Tags", "ClientToken"):
            document.pop(key, None)
        self._context.store.create(PACKAGE, name, document)
        self._emit(document, [])
        return {"ModelPackageArn": arn}

    def _check_specifications(self, request: Request, present: list[Request]) -> None:
        """Refuse containers that the caller cannot read, and a name that two additional specifications have.

        A container goes by the name of its specification (InferenceSpecificationName of CreateModel), so that the names
        of a version differ is assumed. Raises ServiceError.
        """
        added = request.get(ADDITIONAL, []) + request.get(ADDED, [])
        for specification in (request.get("InferenceSpecification", {}), *added):
            for container in specification.get("Containers", []):
                self._check_container(container)
        names = [specification["Name"] for specification in (*present, *added)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise invalid(f"Additional inference specifications have the same name: {', '.join(twice)}.")

    def _check_container(self, container: Request) -> None:
        """Refuse model data or an image that the caller cannot read. Raises ServiceError.

        The data is read with the caller's permissions: recorded runs failed with "Access denied for bucket". That the
        image is looked up with them is assumed.
        """
        caller = current()
        for check in service_calls.looked_up(container["Image"]):
            self._identity.authorizer.require(caller, check, "ecr", "BatchGetImage")
        if uri := container.get("ModelDataUrl"):
            data = location(uri)
            try:
                self._identity.client(caller, "s3").head_object(Bucket=data.bucket, Key=data.key)
            except ClientError as error:
                if says_missing(error):
                    raise invalid(f"Could not find model data at {uri}.") from None
                raise invalid(f"Access denied for bucket: {data.bucket}. The caller may not read {uri}.") from None

    def _package(self, name: str) -> Request:
        # A version goes by its ARN or by GROUP/VERSION.
        key = name.split(":model-package/", 1)[-1]
        missing = invalid(f"ModelPackage {name} does not exist.")
        if name not in (key, self._context.arn("sagemaker", f"model-package/{key}")):
            raise missing
        return stored(self._context.store, PACKAGE, key, missing)

    def describe(self, request: Request) -> Request:
        """The version."""
        return self._package(request["ModelPackageName"])

    def _packages(self, group: str) -> list[Request]:
        return [package for package in self._context.store.list(PACKAGE) if package["ModelPackageGroupName"] == group]

    def _list_packages(self, request: Request) -> Request:
        """Versions of a group; without one, packages of the type Unversioned, by default.

        "This is the default value if no ModelPackageType is specified" (botocore's model). With a group its versions
        are listed: the filter by a group "returns only model versions".
        """
        packages = self._context.store.list(PACKAGE)
        group = request.get("ModelPackageGroupName")
        if group:
            packages = self._packages(self._group(group)["ModelPackageGroupName"])
        if request.get("ModelPackageType", "Versioned" if group else "Unversioned") == "Unversioned":
            packages = [package for package in packages if "ModelPackageVersion" not in package]
        filters = {**request, "StatusEquals": request.get("ModelApprovalStatus")}
        packages = selected(filters, packages, "ModelPackageName", "ModelApprovalStatus")
        keys = {"Name": "ModelPackageVersion", "CreationTime": "CreationTime"}
        return listing("ListModelPackages", request, packages, keys, order=_OLDEST_FIRST)

    def _update(self, request: Request) -> Request:
        """Change a version. A rule deploys by the event of a changed approval status."""
        package = self._package(request["ModelPackageArn"])
        _check_card(request)
        added = request.get(ADDED, [])
        self._check_specifications(request, package.get(ADDITIONAL, []))
        changes = chosen(request, _CHANGEABLE)
        removed = request.get("CustomerMetadataPropertiesToRemove", [])

        def change(document: Request) -> None:
            properties = document.get("CustomerMetadataProperties", {}) | changes.pop("CustomerMetadataProperties", {})
            document.update(changes, LastModifiedTime=now())
            if remaining := {key: value for key, value in properties.items() if key not in removed}:
                document["CustomerMetadataProperties"] = remaining
            if added:
                document[ADDITIONAL] = document.get(ADDITIONAL, []) + added

        fields = sorted([key for key in changes if package.get(key) != changes[key]] + [ADDITIONAL] * bool(added))
        package = self._context.store.update(PACKAGE, package["ModelPackageName"], change)
        self._emit(package, fields)
        return {"ModelPackageArn": package["ModelPackageArn"]}

    def _delete(self, request: Request) -> Request:
        """Delete a version; its number is not used again."""
        package = self._package(request["ModelPackageName"])
        delete_tagged(self._context.store, PACKAGE, package["ModelPackageName"], package["ModelPackageArn"])
        return {}

    def _emit(self, package: Request, updated: list[str]) -> None:
        detail = {**chosen(package, _EVENT), "CertifyForMarketplace": False}
        if updated:
            detail["UpdatedModelPackageFields"] = updated
        self._events.emit("SageMaker Model Package State Change", [package["ModelPackageArn"]], detail)


def _check_card(request: Request) -> None:
    """Raise ServiceError for a model card that does not follow AWS's schema."""
    content = request.get("ModelCard", {}).get("ModelCardContent")
    if content is not None and (problems := problems_of_model_card(content)):
        raise invalid(f"ModelCardContent does not follow the schema of model cards: {'; '.join(problems)}")
