"""What is done with each request to S3: passed on, refused in S3's words, or answered by the door itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from errno import ENOSPC
from pathlib import Path
from xml.etree import ElementTree

from pipeline.local.identity.objects import Key
from pipeline.local.identity.policies import Decision, PolicyError, Request, lowered
from pipeline.local.identity.resources import UnresolvedError
from pipeline.local.identity.sessions import Sessions
from pipeline.local.s3 import deletions, encryption
from pipeline.local.s3.answers import NAMESPACE, Answer, error, xml
from pipeline.local.s3.buckets import Buckets, MalformedPolicyError
from pipeline.local.s3.callers import Caller, Callers
from pipeline.local.s3.calls import Call, InvalidCallError, call_of
from pipeline.local.s3.connections import Plan
from pipeline.local.s3.framing import Head
from pipeline.local.s3.needs import needs_of
from pipeline.local.s3.permissions import Permissions, context_of, refusal
from pipeline.local.s3.signatures import (
    ALGORITHM,
    Keys,
    Signature,
    SignatureError,
    signature_of,
    signed_request,
    verify,
)
from steps.contracts.errors import PipelineError
from steps.contracts.full_disk import FULL_BYTES, explained, is_full

log = logging.getLogger(__name__)

FOLDER = "s3-door"
# The region whose endpoint creates buckets in all regions, and whose name is not a location constraint:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
_FIRST_REGION = "us-east-1"
_NO_KEY = (b"<Code>NoSuchKey</Code>", b"<Code>NoSuchVersion</Code>")
_PASS = Plan()
Fault = Callable[[str, str, str], tuple[int, str, str] | None]
Record = Callable[[Request, Decision, str], None]
"""Called with each decision and the operation that it belongs to."""


@dataclass(frozen=True)
class Settings:
    """The cloud that the door belongs to."""

    directory: Path
    region: str
    account_id: str
    access_key: str
    secret_key: str
    audit: bool = False
    """Whether denied requests are recorded and passed on."""


@dataclass(slots=True)
class _Signed:
    """A request with its signature and the caller that the signature names."""

    head: Head
    call: Call
    signature: Signature
    caller: Caller
    region: str
    """The region that the request is signed for: it stands for the region of the endpoint."""


class PolicyJudge:
    """Decides about requests; `fault` may inject an error, and `record` gets each decision."""

    def __init__(self, settings: Settings, record: Record, fault: Fault) -> None:
        self._settings = settings
        self._record = record
        self._fault = fault
        self._buckets = Buckets(settings.directory, settings.region)
        self._permissions = Permissions(settings.directory, self._buckets)
        self._callers = Callers(
            Sessions(settings.directory), settings.account_id, settings.access_key, settings.secret_key
        )

    # --------------------------------------------------------------------------------------------------- entrance
    def reads_body(self, head: Head) -> bool:
        """Whether the body is that of a request about a bucket: keys, a policy, the region of a new one."""
        if not head.has_body:
            return False
        try:
            return not call_of(head).key
        except InvalidCallError:
            return False

    def plan(self, head: Head, body: bytes) -> Plan:
        """What is done with a request; `body` is empty unless `reads_body`."""
        try:
            return self._plan(head, body)
        except InvalidCallError as invalid:
            answer = error(400, "InvalidURI", str(invalid))
        except SignatureError as wrong:
            answer = error(wrong.status, wrong.code, wrong.message)
        except encryption.UnsupportedEncryptionError as unsupported:
            answer = error(501, "NotImplemented", f"The local cloud does not have {unsupported}.")
        except UnresolvedError as unknown:
            answer = error(501, "NotImplemented", f"The local cloud does not have this operation: {unknown}")
        except PolicyError as malformed:
            answer = error(500, "InternalError", f"A policy cannot be evaluated: {malformed}")
        except PipelineError as damaged:
            answer = error(500, "InternalError", str(damaged))
        except Exception:
            # The query of a presigned URL has credentials, so that the log has the path only.
            log.exception("the S3 door failed at %s %s", head.method, head.target.partition("?")[0])
            answer = error(
                500, "InternalError", f"The S3 door failed; see {FOLDER}/door.log in the local cloud's folder."
            )
        return Plan(answer)

    def _plan(self, head: Head, body: bytes) -> Plan:
        call = call_of(head)
        signature = signature_of(head.headers, call.query)
        if signature is None:
            return self._anonymous(call)
        signed = _Signed(head, call, signature, self._callers.of(signature), signature.region or self._settings.region)
        if fault := self._fault(call.method, call.bucket, call.key):
            return Plan(error(*fault))
        return self._elsewhere(signed) or self._refused_owner(signed) or self._handle(signed, body)

    def _handle(self, signed: _Signed, body: bytes) -> Plan:
        call = signed.call
        if call.method == "POST" and call.asks("delete"):
            return self._delete_objects(signed, body)
        denied = self._denial(signed)
        if denied is not None:
            return denied
        return self._of_object(signed) if call.key else self._of_bucket(signed, body)

    def _of_object(self, signed: _Signed) -> Plan:
        call = signed.call
        if encryption.wants_kms(call):
            return self._described_as_encrypted(signed)
        reads = call.method in ("GET", "HEAD") or "x-amz-copy-source" in call.headers
        return self._hiding(signed) if reads else self._writing(signed)

    def _of_bucket(self, signed: _Signed, body: bytes) -> Plan:
        call = signed.call
        if call.asks("policy"):
            return self._bucket_policy(signed, body)
        if call.asks("encryption") and call.method == "PUT" and b"aws:kms" in body:
            message = (
                "a bucket's default encryption by KMS; nothing is encrypted here, and an object's own is described"
            )
            raise encryption.UnsupportedEncryptionError(message)
        changes = {"PUT": self._create_bucket, "DELETE": self._delete_bucket}
        if call.is_plain_bucket and call.method in changes:
            return changes[call.method](signed, body)
        return self._amended(call)

    def _amended(self, call: Call) -> Plan:
        """A request about a bucket whose response the door amends, or just passes on."""
        bucket = call.bucket
        if call.method == "GET" and call.asks("location"):
            return Plan(after=lambda status, _: self._location(bucket, status))
        if call.is_plain_bucket and call.method == "HEAD":
            return Plan(after=lambda status, _: self._head_bucket(bucket, status))
        return _PASS

    # -------------------------------------------------------------------------------------------------- refusals
    def _writing(self, signed: _Signed) -> Plan:
        """A write, whose failure for want of space has that as its message: the object server does not give it."""
        directory, needed = self._settings.directory, max(FULL_BYTES, signed.head.length)

        def after(status: int, _: bytes) -> Answer | None:
            if status == 500 and is_full(directory, needed):
                return error(500, "InternalError", explained(OSError(ENOSPC, "the write has failed"), [directory]))
            return None

        return Plan(after=after)

    def _anonymous(self, call: Call) -> Plan:
        return Plan(error(403, "AccessDenied", "Access Denied", headers=self._headers_of_refusal(call)))

    def _elsewhere(self, signed: _Signed) -> Plan | None:
        """The redirection to the region of the bucket; clients sign again, since it has no Location.

        Recorded: https://github.com/yanganto/s3rs/issues/18. GetBucketLocation is answered in other regions too:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html ("In other Regions, the bucket policy
        doesn't apply").
        """
        call = signed.call
        if not call.bucket or signed.signature.version != ALGORITHM:
            return None
        if call.asks("location") or (call.is_plain_bucket and call.method == "PUT"):
            return None
        region = self._buckets.region(call.bucket)
        if region == signed.region:
            return None
        answer = error(
            301,
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all"
            " future requests to this endpoint.",
            headers=(("x-amz-bucket-region", region),),
            Endpoint=f"{call.bucket}.s3-{region}.amazonaws.com",
            Bucket=call.bucket,
        )
        return Plan(answer)

    def _refused_owner(self, signed: _Signed) -> Plan | None:
        """https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html"""
        for name in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
            if signed.call.headers.get(name, self._settings.account_id) != self._settings.account_id:
                return Plan(error(403, "AccessDenied", "Access Denied"))
        return None

    def _denial(self, signed: _Signed) -> Plan | None:
        """The refusal of a request whose caller lacks a permission; None if it may go on."""
        message = self._missing(signed)
        if message is None:
            return None
        return Plan(self._denied(signed, message))

    def _denied(self, signed: _Signed, message: str) -> Answer:
        """The refusal; a caller who could not sign the request is refused for that."""
        self._verify(signed, None)
        return error(403, "AccessDenied", message, headers=self._headers_of_refusal(signed.call))

    def _missing(self, signed: _Signed, key: Key | None = None) -> str | None:
        """S3's words about the first permission that the caller lacks; None if there is none or in an audit.

        `key` is an object of DeleteObjects, perhaps with its version.
        """
        operation, needed = needs_of(signed.call, signed.head, key)
        context = context_of(signed.call, signed.caller, signed.signature, signed.region, self._settings.account_id)
        for action, resource, conditions in needed:
            request = Request(
                signed.caller.principal, action, resource, {**context, **lowered(conditions)} if conditions else context
            )
            decision = self._permissions.decide(request, signed.caller)
            self._record(request, decision, operation)
            if not decision.allowed and not self._settings.audit:
                return refusal(request, decision)
        return None

    def _verify(self, signed: _Signed, body: bytes | None) -> None:
        verify(signed.signature, signed.caller.secret, signed.head, body)

    def _hiding(self, signed: _Signed) -> Plan:
        """A missing object is AccessDenied for a caller who may not list the bucket.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, .../API_HeadObject.html; the message names
        s3:ListBucket: https://github.com/schubergphilis/terraform-aws-mcaf-securityhub-findings-manager/pull/64.
        Assumed: the source of a copy is hidden too, and no condition key of a listing (s3:prefix) has a value here.
        """
        call = signed.call
        bucket = call.bucket
        if source := call.headers.get("x-amz-copy-source"):
            bucket = source.lstrip("/").partition("/")[0]

        def after(status: int, body: bytes) -> Answer | None:
            if status != 404 or (call.method != "HEAD" and not any(code in body for code in _NO_KEY)):
                return None
            values = context_of(call, signed.caller, signed.signature, signed.region, self._settings.account_id)
            request = Request(signed.caller.principal, "s3:ListBucket", f"arn:aws:s3:::{bucket}", values)
            decision = self._permissions.decide(request, signed.caller)
            self._record(request, decision, "GetObject" if call.method == "GET" else "HeadObject")
            if decision.allowed or self._settings.audit:
                return None
            return error(403, "AccessDenied", refusal(request, decision))

        return Plan(after=after, amend=encryption.restored, reads=frozenset((404,)))

    def _described_as_encrypted(self, signed: _Signed) -> Plan:
        """An object with KMS encryption: stored without it, and described with it."""
        self._verify(signed, None)
        keys = Keys(signed.signature.access_key, signed.caller.secret, signed.signature.token)
        head = encryption.without_kms(signed.call, signed.head, signed.region, keys)
        plan = self._hiding(signed) if "x-amz-copy-source" in signed.call.headers else self._writing(signed)
        return replace(plan, head=head, amend=encryption.described(signed.call))

    # --------------------------------------------------------------------------------------------------- buckets
    def _headers_of_refusal(self, call: Call) -> tuple[tuple[str, str], ...]:
        """HeadBucket has the region "whether access to the bucket is authorized or not".

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
        """
        return self._region_header(call.bucket) if call.method == "HEAD" and call.is_plain_bucket else ()

    def _region_header(self, bucket: str) -> tuple[tuple[str, str], ...]:
        return (("x-amz-bucket-region", self._buckets.region(bucket)),)

    def _create_bucket(self, signed: _Signed, body: bytes) -> Plan:
        """CreateBucket in the region of the endpoint, or from us-east-1 in any region.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
        """
        try:
            constraint = _location_constraint(body)
        except ElementTree.ParseError:
            return Plan(error(400, "MalformedXML", "The XML you provided was not well-formed."))
        region = signed.region
        if constraint not in ("", region):
            if region != _FIRST_REGION:
                return Plan(_illegal_constraint(constraint))
            region = constraint
        elif not constraint and region != _FIRST_REGION:
            return Plan(_illegal_constraint("unspecified"))
        bucket = signed.call.bucket

        def after(status: int, _: bytes) -> Answer | None:
            if status == 200:
                self._buckets.created(bucket, region)
            return None

        return Plan(after=after)

    def _delete_bucket(self, signed: _Signed, body: bytes) -> Plan:
        """DeleteBucket, if the bucket is empty: the object server would delete the objects too.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html ("All objects (including all object
        versions and delete markers) in the bucket must be deleted before the bucket itself can be deleted")
        """
        self._verify(signed, body)
        call = signed.call
        bucket = call.bucket

        def forget(status: int, _: bytes) -> None:
            if status == 204:
                self._buckets.deleted(bucket)

        def decide(status: int, listing: bytes) -> Answer | Plan:
            if status == 200 and (b"<Version>" in listing or b"<DeleteMarker>" in listing):
                return error(409, "BucketNotEmpty", "The bucket you tried to delete is not empty", BucketName=bucket)
            return Plan(after=forget)

        question = self._own_request(f"GET /{bucket}?max-keys=1&versions=", call)
        return Plan(request=question, method="GET", after=decide, reads=frozenset((200,)))

    def _own_request(self, line: str, call: Call) -> bytes:
        """A question to the object server about a bucket, with the cloud's own key."""
        keys = Keys(self._settings.access_key, self._settings.secret_key)
        return signed_request(line, call.headers.get("host", ""), self._settings.region, keys)

    def _head_bucket(self, bucket: str, status: int) -> Answer | None:
        return Answer(200, headers=self._region_header(bucket)) if status == 200 else None

    def _location(self, bucket: str, status: int) -> Answer | None:
        """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html; empty for us-east-1."""
        if status != 200:
            return None
        region = self._buckets.region(bucket)
        text = "" if region == _FIRST_REGION else region
        return xml(f'<LocationConstraint xmlns="{NAMESPACE}">{text}</LocationConstraint>')

    def _bucket_policy(self, signed: _Signed, body: bytes) -> Plan:
        """Get, put or delete a bucket's policy; the object server is asked whether there is such a bucket."""
        self._verify(signed, body)
        call = signed.call

        def after(status: int, _: bytes) -> Answer | None:
            if status != 200:
                return error(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=call.bucket)
            return self._change_policy(call, body)

        question = self._own_request(f"HEAD /{call.bucket}", call)
        return Plan(request=question, method="HEAD", after=after)

    def _change_policy(self, call: Call, body: bytes) -> Answer:
        match call.method:
            case "GET":
                policy = self._buckets.policy(call.bucket)
                if policy is None:
                    message = "The bucket policy does not exist"
                    return error(404, "NoSuchBucketPolicy", message, BucketName=call.bucket)
                return Answer(200, policy.encode(), content_type="application/json")
            case "PUT":
                try:
                    self._buckets.set_policy(call.bucket, body.decode("utf-8", errors="replace"))
                except MalformedPolicyError as malformed:
                    return error(400, "MalformedPolicy", str(malformed))
                return Answer(204)
            case "DELETE":
                self._buckets.set_policy(call.bucket, None)
                return Answer(204)
        return error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")

    # --------------------------------------------------------------------------------------------- batch deletion
    def _delete_objects(self, signed: _Signed, body: bytes) -> Plan:
        """DeleteObjects, whose keys are allowed or denied one by one.

        "For each key, Amazon S3 performs a delete operation and returns the result of that delete, success or failure,
        in the response": https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
        """
        try:
            batch = deletions.read(body)
        except deletions.MalformedBatchError as malformed:
            return Plan(error(400, "MalformedXML", str(malformed)))
        refused: list[deletions.Refused] = []
        for item in batch.items:
            if message := self._missing(signed, (item.key, item.version)):
                refused.append(deletions.Refused(item, message))
        if not refused:
            return _PASS
        self._verify(signed, body)
        rest = batch.without({refusal.item for refusal in refused})
        if not rest.items:
            return Plan(xml(deletions.result(b"", refused)))
        request = signed_request(
            f"POST /{signed.call.bucket}?delete=",
            signed.call.headers.get("host", ""),
            signed.region,
            Keys(signed.signature.access_key, signed.caller.secret, signed.signature.token),
            rest.document(),
        )

        def after(status: int, response: bytes) -> Answer | None:
            return xml(deletions.result(response, refused)) if status == 200 else None

        return Plan(request=request, after=after, reads=frozenset((200,)))


def _illegal_constraint(constraint: str) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ErrorCodeBilling.html; the message as SDKs show it."""
    return error(
        400,
        "IllegalLocationConstraintException",
        f"The {constraint} location constraint is incompatible for the region specific endpoint this request was sent"
        " to.",
    )


def _location_constraint(body: bytes) -> str:
    """The region of a CreateBucketConfiguration; empty without one. EU is an old name of eu-west-1."""
    if not body.strip():
        return ""
    root = deletions.parsed(body)
    text = root.findtext(f"{{{NAMESPACE}}}LocationConstraint") or root.findtext("LocationConstraint") or ""
    return "eu-west-1" if text.strip() == "EU" else text.strip()
