"""Addresses of pages in AWS's console and in SageMaker Studio. AWS documents no form of them; each has its source here.

The console's host is documented: https://docs.aws.amazon.com/general/latest/gr/mgmt-console.html. The partition is
`aws`, the only one that the settings accept.
"""

from __future__ import annotations

from urllib.parse import quote

# Pages of the console by the kind of resource in an ARN. The jobs are those of `get_console_job_url` in AWS's package
# sagemaker-train 1.27 (common_utils/metrics_visualizer.py); the tuning jobs those of Flyte's plug-in for SageMaker
# (flyteorg/flyteplugins, sagemaker/hyperparameter_tuning.go); the endpoints those of links in AWS's samples.
_PAGES = {
    "training-job": "jobs",
    "processing-job": "processing-jobs",
    "transform-job": "transform-jobs",
    "hyper-parameter-tuning-job": "hyper-tuning-jobs",
    "endpoint": "endpoints",
}


def console_page(arn: str) -> str:
    """The page of a job or an endpoint in AWS's console; empty for another kind of resource, or for no ARN."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[2] != "sagemaker":
        return ""
    kind, _, name = parts[5].partition("/")
    page, region = _PAGES.get(kind, ""), parts[3]
    if not page or not name:
        return ""
    return f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}#/{page}/{_word(name)}"


def studio(domain: str, region: str) -> str:
    """Studio of a domain, as `_get_studio_base_url` in AWS's package sagemaker-train 1.27 has it.

    ListDomains answers an address, too, but in the form of Studio Classic, without `studio-`.
    """
    return f"https://studio-{domain}.studio.{region}.sagemaker.aws"


def studio_run(domain: str, region: str, pipeline: str, execution: str) -> str:
    """The graph of a pipeline's execution in Studio.

    As `_generate_orchestrator_url` of ZenML has it (zenml-io/zenml, sagemaker_orchestrator.py).
    """
    return f"{studio(domain, region)}/pipelines/view/{_word(pipeline)}/executions/{_word(execution)}/graph"


def studio_group(domain: str, region: str, group: str) -> str:
    """The versions of a model group in Studio.

    No program of AWS or of a framework makes this address; it is from the approval action of one public CodePipeline
    (`ExternalEntityLink`), so it is less sure than the others.
    """
    return f"{studio(domain, region)}/models/registered-models/{_word(group)}/versions"


def _word(name: str) -> str:
    return quote(name, safe="")
