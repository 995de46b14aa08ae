"""Amazon Resource Names (ARNs): https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html"""

from __future__ import annotations


def name_of(arn: str) -> str:
    """The part after the last slash: a role's name, a run's id, a model package's version. Empty for an empty ARN."""
    return arn.rsplit("/", 1)[-1]
