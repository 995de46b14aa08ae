"""The permissions that S3 asks for: by operation, and by the parts of an HTTP request.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html ("Required permissions for
Amazon S3 API operations") and the operations' table of
https://docs.aws.amazon.com/service-authorization/latest/reference/list_s3.html. A permission that depends on
more than the request (the tags of a source object, say) is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from pipeline.local.identity.reference import action as reference
from pipeline.local.identity.resources import UnresolvedError

Need = tuple[str, str, dict[str, Any]]
"""Action, resource and values of condition keys."""
Key = str | tuple[str, str]
"""An object's key, perhaps with its version."""

# Operations on a bucket: the action.
_ON_BUCKET = {
    "CreateBucket": "CreateBucket",
    "DeleteBucket": "DeleteBucket",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketPolicy": "DeleteBucketPolicy",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAcl": "GetBucketAcl",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketLocation": "GetBucketLocation",
    "GetBucketLogging": "GetBucketLogging",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketOwnershipControls": "GetBucketOwnershipControls",
    "GetBucketPolicy": "GetBucketPolicy",
    "GetBucketPolicyStatus": "GetBucketPolicyStatus",
    "GetBucketTagging": "GetBucketTagging",
    "GetBucketVersioning": "GetBucketVersioning",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "PutBucketAcl": "PutBucketAcl",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketLogging": "PutBucketLogging",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutBucketOwnershipControls": "PutBucketOwnershipControls",
    "PutBucketPolicy": "PutBucketPolicy",
    "PutBucketTagging": "PutBucketTagging",
    "PutBucketVersioning": "PutBucketVersioning",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
# Operations on an object: the actions without and with a version.
_ON_OBJECT = {
    "AbortMultipartUpload": ("AbortMultipartUpload", ""),
    "CompleteMultipartUpload": ("PutObject", ""),
    "CopyObject": ("PutObject", ""),
    "CreateMultipartUpload": ("PutObject", ""),
    "DeleteObject": ("DeleteObject", "DeleteObjectVersion"),
    "DeleteObjectTagging": ("DeleteObjectTagging", "DeleteObjectVersionTagging"),
    "GetObject": ("GetObject", "GetObjectVersion"),
    "GetObjectAcl": ("GetObjectAcl", "GetObjectVersionAcl"),
    "GetObjectAttributes": ("GetObjectAttributes", "GetObjectVersionAttributes"),
    "GetObjectLegalHold": ("GetObjectLegalHold", "GetObjectLegalHold"),
    "GetObjectRetention": ("GetObjectRetention", "GetObjectRetention"),
    "GetObjectTagging": ("GetObjectTagging", "GetObjectVersionTagging"),
    "HeadObject": ("GetObject", "GetObjectVersion"),
    "ListParts": ("ListMultipartUploadParts", ""),
    "PutObject": ("PutObject", ""),
    "PutObjectAcl": ("PutObjectAcl", "PutObjectVersionAcl"),
    "PutObjectLegalHold": ("PutObjectLegalHold", "PutObjectLegalHold"),
    "PutObjectRetention": ("PutObjectRetention", "PutObjectRetention"),
    "PutObjectTagging": ("PutObjectTagging", "PutObjectVersionTagging"),
    "RestoreObject": ("RestoreObject", "RestoreObject"),
    "SelectObjectContent": ("GetObject", ""),
    "UploadPart": ("PutObject", ""),
    "UploadPartCopy": ("PutObject", ""),
}
# Members whose presence in a writing request needs a further action.
_WRITING = ("CopyObject", "CreateMultipartUpload", "PutObject")
_GRANTS = ("ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP")
_FURTHER = {
    "Tagging": "PutObjectTagging",
    **dict.fromkeys(_GRANTS, "PutObjectAcl"),
    "ObjectLockLegalHoldStatus": "PutObjectLegalHold",
    "ObjectLockMode": "PutObjectRetention",
    "ObjectLockRetainUntilDate": "PutObjectRetention",
}
_CREATING_BUCKET = {
    **dict.fromkeys((*_GRANTS, "GrantWrite"), "PutBucketAcl"),
    "ObjectLockEnabledForBucket": "PutBucketObjectLockConfiguration",
    "ObjectOwnership": "PutBucketOwnershipControls",
}
# Condition keys by member.
_KEYS = {
    "ACL": "s3:x-amz-acl",
    "BucketKeyEnabled": "s3:x-amz-server-side-encryption-bucket-key-enabled",
    "CopySource": "s3:x-amz-copy-source",
    "Delimiter": "s3:delimiter",
    "GrantFullControl": "s3:x-amz-grant-full-control",
    "GrantRead": "s3:x-amz-grant-read",
    "GrantReadACP": "s3:x-amz-grant-read-acp",
    "GrantWrite": "s3:x-amz-grant-write",
    "GrantWriteACP": "s3:x-amz-grant-write-acp",
    "IfMatch": "s3:if-match",
    "IfNoneMatch": "s3:if-none-match",
    "MaxKeys": "s3:max-keys",
    "MetadataDirective": "s3:x-amz-metadata-directive",
    "ObjectLockLegalHoldStatus": "s3:object-lock-legal-hold",
    "ObjectLockMode": "s3:object-lock-mode",
    "ObjectLockRetainUntilDate": "s3:object-lock-retain-until-date",
    "ObjectOwnership": "s3:x-amz-object-ownership",
    "Prefix": "s3:prefix",
    "SSECustomerAlgorithm": "s3:x-amz-server-side-encryption-customer-algorithm",
    "SSEKMSKeyId": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "ServerSideEncryption": "s3:x-amz-server-side-encryption",
    "StorageClass": "s3:x-amz-storage-class",
    "VersionId": "s3:versionid",
    "WebsiteRedirectLocation": "s3:x-amz-website-redirect-location",
}


def needs(operation: str, request: Mapping[str, Any]) -> list[Need]:
    """Permissions of an operation by botocore's names. Raises UnresolvedError."""
    if operation == "ListBuckets":
        return [("s3:ListAllMyBuckets", "*", {})]
    bucket = f"arn:aws:s3:::{request.get('Bucket', '')}"
    if operation == "DeleteObjects":
        objects = request.get("Delete", {}).get("Objects", [])
        return deletions(bucket, [(item["Key"], item.get("VersionId", "")) for item in objects])
    values = _values_of(request)
    if operation in _ON_BUCKET:
        actions = [_ON_BUCKET[operation]]
        if operation == "CreateBucket":
            actions += [action for member, action in _CREATING_BUCKET.items() if request.get(member)]
        return [_need(action, bucket, values) for action in dict.fromkeys(actions)]
    if operation not in _ON_OBJECT:
        raise UnresolvedError(f"s3:{operation} is not in the tables")
    plain, versioned = _ON_OBJECT[operation]
    actions = [versioned if versioned and request.get("VersionId") else plain]
    if operation in _WRITING:
        actions += [action for member, action in _FURTHER.items() if request.get(member)]
    if operation == "GetObjectAttributes":
        actions.append("GetObjectVersion" if request.get("VersionId") else "GetObject")
    if request.get("BypassGovernanceRetention"):
        actions.append("BypassGovernanceRetention")
    place = f"{bucket}/{request.get('Key', '')}"
    return [*(_need(action, place, values) for action in dict.fromkeys(actions)), *_source(request)]


def deletions(bucket: str, keys: Iterable[Key]) -> list[Need]:
    """Permissions to delete objects of a bucket, by the bucket's ARN."""
    pairs = [key if isinstance(key, tuple) else (key, "") for key in keys]
    return [
        _need(
            "DeleteObjectVersion" if version else "DeleteObject",
            f"{bucket}/{key}",
            {"s3:versionid": version} if version else {},
        )
        for key, version in dict.fromkeys(pairs)
    ]


def _source(request: Mapping[str, Any]) -> list[Need]:
    """Reading the source of a copy: BUCKET/KEY, perhaps with ?versionId=, quoted as in a URL."""
    source = request.get("CopySource")
    if not source:
        return []
    if isinstance(source, Mapping):
        place, version = f"{source['Bucket']}/{source['Key']}", source.get("VersionId", "")
    else:
        quoted, _, query = str(source).partition("?")
        place, version = unquote(quoted).lstrip("/"), query.removeprefix("versionId=")
    action = "GetObjectVersion" if version else "GetObject"
    return [_need(action, f"arn:aws:s3:::{place}", {"s3:versionid": version} if version else {})]


def _need(action: str, resource: str, values: Mapping[str, Any]) -> Need:
    """With the condition keys that the reference has for the action."""
    entry = reference("s3", action)
    if entry is None:
        raise UnresolvedError(f"the reference has no action s3:{action}")
    tags = ("s3:RequestObjectTag/", "s3:RequestObjectTagKeys")
    tagged = any(key.startswith(tags) for key in entry.keys)
    return (
        f"s3:{action}",
        resource,
        {key: value for key, value in values.items() if key in entry.keys or (tagged and key.startswith(tags))},
    )


def _values_of(request: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {
        key: request[member] if isinstance(request[member], str) else str(request[member]).lower()
        for member, key in _KEYS.items()
        if request.get(member) is not None and not isinstance(request[member], Mapping)
    }
    tagging = request.get("Tagging")
    if isinstance(tagging, str) and tagging:
        tags = dict(parse_qsl(tagging, keep_blank_values=True))
    elif isinstance(tagging, Mapping):
        tags = {tag["Key"]: tag["Value"] for tag in tagging.get("TagSet", [])}
    else:
        tags = {}
    if tags:
        values |= {f"s3:RequestObjectTag/{key}": value for key, value in tags.items()}
        values["s3:RequestObjectTagKeys"] = list(tags)
    return values


# ------------------------------------------------------------------------------------------------------- requests
# By the parameter of the query that names a part of a bucket or an object: operations by method.
_BUCKET_PARTS: dict[str, dict[str, str]] = {
    "acl": {"GET": "GetBucketAcl", "PUT": "PutBucketAcl"},
    "cors": {"GET": "GetBucketCors", "PUT": "PutBucketCors", "DELETE": "DeleteBucketCors"},
    "encryption": {"GET": "GetBucketEncryption", "PUT": "PutBucketEncryption", "DELETE": "DeleteBucketEncryption"},
    "lifecycle": {
        "GET": "GetBucketLifecycleConfiguration",
        "PUT": "PutBucketLifecycleConfiguration",
        "DELETE": "DeleteBucketLifecycle",
    },
    "location": {"GET": "GetBucketLocation"},
    "logging": {"GET": "GetBucketLogging", "PUT": "PutBucketLogging"},
    "notification": {"GET": "GetBucketNotificationConfiguration", "PUT": "PutBucketNotificationConfiguration"},
    "object-lock": {"GET": "GetObjectLockConfiguration", "PUT": "PutObjectLockConfiguration"},
    "ownershipControls": {
        "GET": "GetBucketOwnershipControls",
        "PUT": "PutBucketOwnershipControls",
        "DELETE": "DeleteBucketOwnershipControls",
    },
    "policy": {"GET": "GetBucketPolicy", "PUT": "PutBucketPolicy", "DELETE": "DeleteBucketPolicy"},
    "policyStatus": {"GET": "GetBucketPolicyStatus"},
    "publicAccessBlock": {
        "GET": "GetPublicAccessBlock",
        "PUT": "PutPublicAccessBlock",
        "DELETE": "DeletePublicAccessBlock",
    },
    "tagging": {"GET": "GetBucketTagging", "PUT": "PutBucketTagging", "DELETE": "DeleteBucketTagging"},
    "uploads": {"GET": "ListMultipartUploads"},
    "versioning": {"GET": "GetBucketVersioning", "PUT": "PutBucketVersioning"},
    "versions": {"GET": "ListObjectVersions"},
}
_OBJECT_PARTS: dict[str, dict[str, str]] = {
    "acl": {"GET": "GetObjectAcl", "PUT": "PutObjectAcl"},
    "attributes": {"GET": "GetObjectAttributes"},
    "legal-hold": {"GET": "GetObjectLegalHold", "PUT": "PutObjectLegalHold"},
    "restore": {"POST": "RestoreObject"},
    "retention": {"GET": "GetObjectRetention", "PUT": "PutObjectRetention"},
    "select": {"POST": "SelectObjectContent"},
    "tagging": {"GET": "GetObjectTagging", "PUT": "PutObjectTagging", "DELETE": "DeleteObjectTagging"},
    "uploadId": {
        "GET": "ListParts",
        "PUT": "UploadPart",
        "POST": "CompleteMultipartUpload",
        "DELETE": "AbortMultipartUpload",
    },
    "uploads": {"POST": "CreateMultipartUpload"},
}
_BUCKETS = {"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
_OBJECTS = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
# Parameters that change nothing about the permission. Signatures are authenticated elsewhere.
_INDIFFERENT = frozenset(
    "continuation-token encoding-type fetch-owner key-marker list-type marker max-parts max-uploads partNumber"  # noqa: SIM905
    " part-number-marker start-after upload-id-marker version-id-marker x-id".split()
)
_LISTING_BUCKETS = frozenset(("bucket-region", "continuation-token", "max-buckets", "prefix", "x-id"))
_MEMBERS = {
    "delimiter": "Delimiter",
    "max-keys": "MaxKeys",
    "prefix": "Prefix",
    "uploadId": "UploadId",
    "versionId": "VersionId",
}
_HEADERS = {
    "if-match": "IfMatch",
    "if-none-match": "IfNoneMatch",
    "x-amz-acl": "ACL",
    "x-amz-bucket-object-lock-enabled": "ObjectLockEnabledForBucket",
    "x-amz-bypass-governance-retention": "BypassGovernanceRetention",
    "x-amz-copy-source": "CopySource",
    "x-amz-grant-full-control": "GrantFullControl",
    "x-amz-grant-read": "GrantRead",
    "x-amz-grant-read-acp": "GrantReadACP",
    "x-amz-grant-write": "GrantWrite",
    "x-amz-grant-write-acp": "GrantWriteACP",
    "x-amz-metadata-directive": "MetadataDirective",
    "x-amz-object-lock-legal-hold": "ObjectLockLegalHoldStatus",
    "x-amz-object-lock-mode": "ObjectLockMode",
    "x-amz-object-lock-retain-until-date": "ObjectLockRetainUntilDate",
    "x-amz-object-ownership": "ObjectOwnership",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
    "x-amz-server-side-encryption-customer-algorithm": "SSECustomerAlgorithm",
    "x-amz-storage-class": "StorageClass",
    "x-amz-tagging": "Tagging",
    "x-amz-website-redirect-location": "WebsiteRedirectLocation",
}


def operation_of(method: str, target: str, headers: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Operation and members of a path-style request, without those of its body. Raises UnresolvedError."""
    path, _, query = target.partition("?")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    asked = {name: value for name, value in parse_qsl(query, keep_blank_values=True) if not _signs(name)}
    if not bucket:
        if method == "GET" and not set(asked) - _LISTING_BUCKETS:
            return "ListBuckets", {}
        raise UnresolvedError(f"S3 has no {method} {target}")
    request = {"Bucket": bucket, **({"Key": key} if key else {})}
    request |= {member: asked[name] for name, member in _MEMBERS.items() if name in asked}
    request |= {member: headers[name] for name, member in _HEADERS.items() if headers.get(name)}
    operation = _operation(method, key, asked, request)
    if operation is None:
        raise UnresolvedError(f"S3's {method} of {'an object' if key else 'a bucket'} with {query or 'no query'}")
    return operation, request


def _operation(method: str, key: str, asked: Mapping[str, str], request: Mapping[str, Any]) -> str | None:
    parts, plain = (_OBJECT_PARTS, _OBJECTS) if key else (_BUCKET_PARTS, _BUCKETS)
    part = next((name for name in asked if name in parts), "")
    others = set(asked) - {part} - _INDIFFERENT - set(_MEMBERS) - {"delete"}
    if any(name for name in others if not name.startswith("response-")):
        return None
    if not key and method == "POST" and "delete" in asked:
        return "DeleteObjects"
    operation = parts[part].get(method) if part else plain.get(method)
    if "CopySource" in request:
        return {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(operation or "")
    return operation


def _signs(name: str) -> bool:
    return name.startswith(("X-Amz-", "x-amz-")) or name in ("AWSAccessKeyId", "Signature", "Expires")


def needs_of_http(method: str, target: str, headers: Mapping[str, str], keys: Iterable[Key] | None) -> list[Need]:
    """Permissions of a path-style request. Raises UnresolvedError."""
    operation, request = operation_of(method, target, headers)
    if operation == "DeleteObjects":
        if keys is None:
            raise UnresolvedError("DeleteObjects: the keys of its body are needed")
        return deletions(f"arn:aws:s3:::{request['Bucket']}", keys)
    return needs(operation, request)
