"""Templates in S3, by their URL.

"The URL must point to a template (max size: 1 MB) that's located in an Amazon S3 bucket. The location for an Amazon S3
bucket must start with https://. URLs from S3 static websites are not supported."
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pipeline.aws.cloudformation import LARGEST_OBJECT
from pipeline.local.context import ServiceError

# Path-style and virtual-hosted-style requests, with a region or without:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
_SERVICE = r"s3(?:[.-][a-z]{2}(?:-[a-z]+)+-[0-9])?\.amazonaws\.com"
_BY_PATH = re.compile(rf"https://{_SERVICE}/(?P<bucket>[a-z0-9.-]+)/(?P<key>[^?#]+)(?:\?[^#]*)?")
_BY_HOST = re.compile(rf"https://(?P<bucket>[a-z0-9.-]+)\.{_SERVICE}/(?P<key>[^?#]+)(?:\?[^#]*)?")
# The answers as others recorded them:
# https://github.com/kubernetes-retired/kube-aws/issues/143
# https://github.com/F5Networks/f5-aws-cloudformation/issues/87
# https://github.com/aws-samples/aws-vpc-cidr-mgmt/issues/10
_NO_OBJECT = "TemplateURL must reference a valid S3 object to which you have access."
_S3_ERROR = (
    "S3 error: {}\nFor more information check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"
)
_TOO_LARGE = f"Template may not exceed {LARGEST_OBJECT} bytes in size."


def read_template(s3: Any, url: str) -> str:
    """The text of a template by its URL, through a boto3 S3 client. Raises ServiceError as CloudFormation refuses."""
    from botocore.exceptions import ClientError

    match = _BY_PATH.fullmatch(url) or _BY_HOST.fullmatch(url)
    if match is None:
        raise ServiceError("ValidationError", _NO_OBJECT)
    place = {"Bucket": match["bucket"], "Key": unquote(match["key"])}
    if version := parse_qs(urlsplit(url).query).get("versionId"):
        place["VersionId"] = version[0]
    try:
        answer = s3.get_object(**place)
    except ClientError as error:
        raise ServiceError("ValidationError", _S3_ERROR.format(error.response["Error"]["Message"])) from None
    if answer["ContentLength"] > LARGEST_OBJECT:
        raise ServiceError("ValidationError", _TOO_LARGE)
    try:
        return str(answer["Body"].read().decode())
    except UnicodeDecodeError:
        raise ServiceError("ValidationError", "Template format error: unsupported structure.") from None
