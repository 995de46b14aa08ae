"""The template in two stages, and its place in the bucket.

A request may contain a template of 51,200 bytes; a larger template is an object in S3, and the bucket for it is a
resource of the template itself. So the first stage is sent in the request: the resources without a condition, with the
parameters and conditions that they use. The whole template is sent by its URL, once the bucket exists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pipeline.account.events import Change
from pipeline.account.retained import first_stage
from pipeline.aws import cloudformation as template
from pipeline.settings import Settings


def first_stage_template(text: str) -> str:
    """The part of a template that creates the bucket and the image repositories, as JSON."""
    whole = template.read(text)
    resources = {name: resource for name, resource in whole["Resources"].items() if "Condition" not in resource}
    return json.dumps(template.part(whole, resources), separators=(",", ":"))


def declared_values(text: str, values: Mapping[str, str]) -> dict[str, str]:
    """The values of those parameters that a template declares; CloudFormation refuses others."""
    declared = template.read(text).get("Parameters", {})
    return {name: value for name, value in values.items() if name in declared}


def later_changes(settings: Settings, text: str, values: Mapping[str, str], earlier: set[str]) -> list[Change]:
    """The resources that a new stack gets after its first stage, whose logical ids are `earlier`.

    CloudFormation cannot read the whole template before its bucket exists; in a new stack every resource is new.
    """
    resources = first_stage(settings, text, values).resources()
    return [Change("Add", name, item["Type"]) for name, item in resources.items() if name not in earlier]


def template_key(settings: Settings, text: str) -> str:
    """Key of the template in the project's bucket; another template has another key."""
    return f"{settings.code_prefix}/template-{hashlib.sha256(text.encode()).hexdigest()[:16]}.yaml"


def template_url(settings: Settings, text: str) -> str:
    """URL of the template, by path as `aws cloudformation deploy` has it: a bucket's name may contain dots.

    https://github.com/aws/aws-cli/blob/v2/awscli/customizations/s3uploader.py
    """
    key = template_key(settings, text)
    return f"https://s3.{settings.account.region}.amazonaws.com/{settings.data.bucket}/{key}"
