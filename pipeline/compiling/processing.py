"""Processing steps: a job that runs a step's module in the step's image, and the references between steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.aws.tags import listed
from pipeline.compiling import vpc
from pipeline.compiling.context import Context, as_text
from pipeline.compiling.display import display
from pipeline.compiling.offline import offline_sdk
from pipeline.compiling.retries import job_retries
from pipeline.settings import Settings
from pipeline.settings.fields import PROCESSING_GIGABYTES
from steps.contracts import hand_over

with offline_sdk():
    from sagemaker.core.network import NetworkConfig
    from sagemaker.core.processing import Processor
    from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
    from sagemaker.core.workflow.functions import Join, JsonGet
    from sagemaker.core.workflow.parameters import Parameter
    from sagemaker.core.workflow.properties import PropertyFile
    from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep


def processing_step(
    context: Context,
    *,
    name: str,
    step: str,
    instance_type: str,
    arguments: Mapping[str, Any],
    environment: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any],
    outputs: tuple[str, ...],
    lasting_outputs: tuple[str, ...] = (),
    hands_on: str = "",
    instance_count: Parameter | int = 1,
    shares_inputs: bool = False,
    volume_gigabytes: int = PROCESSING_GIGABYTES,
    cache: CacheConfig | None = None,
    property_files: list[PropertyFile] | None = None,
    run_seconds: int | None = None,
) -> ProcessingStep:
    """A processing job that runs `python3 -m steps.STEP` in that step's image.

    `outputs` belong to the run; `lasting_outputs` have the same prefix in all runs. `hands_on` is the name of the
    property file, in the step's summary, with the URI of the step's result. `run_seconds` limits the job's time;
    without it the service does, to a day. `shares_inputs` deals the objects of the inputs to the instances instead of
    copying all to each.
    """
    places = {key: context.output_uri(step, key) for key in outputs}
    places |= {key: f"{context.settings.root_uri}/{key}" for key in lasting_outputs}
    processor = Processor(
        role=context.settings.role_arn("job"),
        image_uri=context.image_uri(step),
        instance_count=instance_count,
        instance_type=instance_type,
        volume_size_in_gb=volume_gigabytes,
        entrypoint=["python3", "-m", f"steps.{step}"],
        base_job_name=step,
        sagemaker_session=context.session,
        max_runtime_in_seconds=run_seconds,
        env={"AWS_DEFAULT_REGION": context.settings.account.region, **(environment or {})},
        network_config=_network(context.settings, several_instances=instance_count != 1),
        volume_kms_key=vpc.volume_key(context.settings, instance_type).get("VolumeKmsKeyId"),
        output_kms_key=context.settings.encryption.kms_key or None,
        tags=listed(context.settings.tags) or None,
    )
    flags = [part for key, value in arguments.items() for part in (f"--{key}", as_text(value))]
    step_args = processor.run(
        inputs=[_input(key, uri, shared=shares_inputs) for key, uri in inputs.items()],
        outputs=[_declared_output(key, uri) for key, uri in places.items()],
        arguments=flags,
    )
    files = [*(property_files or []), *([_hand_over(hands_on)] if hands_on else [])]
    return ProcessingStep(
        name,
        step_args=step_args,
        cache_config=cache,
        property_files=files,
        retry_policies=job_retries(),
        **display(name),
    )


def _network(settings: Settings, *, several_instances: bool) -> NetworkConfig | None:
    members = vpc.processing(settings, several_instances=several_instances).get("NetworkConfig")
    if members is None:
        return None
    placement = members.get("VpcConfig", {})
    return NetworkConfig(
        enable_network_isolation=members["EnableNetworkIsolation"],
        encrypt_inter_container_traffic=members.get("EnableInterContainerTrafficEncryption"),
        subnets=placement.get("Subnets"),
        security_group_ids=placement.get("SecurityGroupIds"),
    )


def _input(name: str, uri: Any, *, shared: bool) -> ProcessingInput:
    s3 = ProcessingS3Input(
        s3_uri=uri,
        local_path=f"/opt/ml/processing/input/{name}",
        s3_data_type="S3Prefix",
        s3_input_mode="File",
        # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProcessingS3Input.html
        s3_data_distribution_type="ShardedByS3Key" if shared else "FullyReplicated",
    )
    return ProcessingInput(input_name=name, s3_input=s3)


def _declared_output(name: str, uri: Join | str) -> ProcessingOutput:
    """An output that the container streams to S3 by itself, or that SageMaker uploads from the folder."""
    s3 = ProcessingS3Output(s3_uri=uri, local_path=f"/opt/ml/processing/output/{name}", s3_upload_mode="EndOfJob")
    return ProcessingOutput(output_name=name, s3_output=s3)


def _hand_over(name: str) -> PropertyFile:
    return PropertyFile(name=name, output_name="summary", path=hand_over.NAME)


def handed_on(step: ProcessingStep, name: str, member: str = "uri") -> JsonGet:
    """The URI of a step's result, which is named by its content, or another `member` of the file (`HandOver`).

    The step cache compares it as an input, so that the next step runs again for other content only, and not for
    another run (docs/decisions/0018).
    """
    return JsonGet(step_name=step.name, property_file=_hand_over(name), json_path=member)


def output_of(step: ProcessingStep, name: str) -> Any:
    """A reference to a step's output; after a cache hit it points to the run that wrote it."""
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri
