"""Everything a user sets: `pipeline.yaml`, typed, grouped as the pipeline is, with profiles laid over it.

Each group is a class; a field is documented where it stands. What a person changes from run to run is a Pipeline
Parameter (see `definition.parameters`) whose default comes from here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from pipeline import instances

Role = Literal["pipeline", "job", "serving", "scheduler", "deploy", "build", "ci"]
InstanceType = Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")]
S3Prefix = Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=/-]*)?$")]
Fraction = Annotated[float, Field(gt=0, lt=1)]
# Plain http reaches a server on this machine only.
_MLFLOW_SERVER = (
    r"^(arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:mlflow-(tracking-server|app)/[A-Za-z0-9-]{1,256}"
    r"|https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._/-]*)?|http://(127\.0\.0\.1|localhost)(:[0-9]+)?)?$"
)
# HOST/REPOSITORY with a tag, a digest, or both.
_IMAGE = r"^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[a-f0-9]{64})?$"
_IMAGE_OR_NONE = f"^$|{_IMAGE}"
_NAME = r"^[a-z](-?[a-z0-9]){0,23}$"
_DURATION = re.compile(r"([1-9][0-9]*)(m|h|d)")
_ISO_UNITS = {"m": "PT{}M", "h": "PT{}H", "d": "P{}D"}


def _duration(value: object) -> str:
    if not isinstance(value, str) or _DURATION.fullmatch(value) is None:
        raise ValueError("write a number and a unit: 90m, 12h or 30d")
    return value


Duration = Annotated[str, BeforeValidator(_duration)]


def iso_duration(value: str) -> str:
    """`12h` as ISO 8601: `PT12H`."""
    match = _DURATION.fullmatch(value)
    assert match is not None
    return _ISO_UNITS[match[2]].format(match[1])


def seconds(duration: str) -> int:
    """A duration like `12h` in seconds."""
    match = _DURATION.fullmatch(duration)
    assert match is not None
    return int(match[1]) * {"m": 60, "h": 3600, "d": 86400}[match[2]]


class ConflictError(ValueError):
    """Settings that do not go together. `places` are their dotted keys; one that the file does not set is a default."""

    def __init__(self, message: str, *places: str) -> None:
        super().__init__(message)
        self.places = places


class Group(BaseModel):
    """A group of settings: unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Account(Group):
    """Where the pipeline lives."""

    target: Literal["aws", "local"] = "aws"
    id: str = Field(pattern=r"^[0-9]{12}$", description="AWS account id, quoted")
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
    pipeline_role: str = Field(
        default="", description="name of the role SageMaker Pipelines assumes; default NAME-pipeline"
    )
    job_role: str = Field(default="", description="name of the role of the jobs; default NAME-job")
    serving_role: str = Field(default="", description="name of the role of the endpoint; default NAME-serving")
    scheduler_role: str = Field(default="", description="name of the role of schedules; default NAME-scheduler")


class Data(Group):
    """The raw photos and metadata, and the project's own bucket."""

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", description="the project's own bucket")
    prefix: str = Field(default="bin-counting", pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")
    image_location: S3Prefix = Field(description="holds bin-images/ID.jpg and metadata/ID.json")
    version: str = Field(
        default="1", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="a new value makes a run look again"
    )
    maximum_quantity: int = Field(default=5, ge=1, le=1000, description="bins that hold more are left out")
    database: str = Field(default="", pattern=r"^[a-z][a-z0-9_]{0,127}$", description="Glue database; default NAME")
    workgroup: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{1,128}$", description="Athena workgroup; default NAME")
    query_gigabytes: PositiveInt = Field(
        default=100, le=100_000, description="a query that scans more is stopped by its workgroup"
    )
    query_minutes: PositiveInt = Field(default=60, description="a query that takes longer is stopped")
    instance_type: InstanceType = "ml.m5.xlarge"


class Shard(Group):
    """How photos become WebDataset shards."""

    instance_type: InstanceType = "ml.c5.4xlarge"
    instance_count: int = Field(default=1, ge=1, le=100)
    image_size: int = Field(
        default=256, ge=0, le=4096, description="shorter side in pixels; 0 keeps the original bytes"
    )
    quality: int = Field(default=90, ge=1, le=100, description="JPEG quality of resized photos")
    megabytes: PositiveInt = Field(default=200, le=4000, description="size of a shard")
    split: Literal["grouped", "random", "file"] = "grouped"
    split_file: S3Prefix | None = Field(
        default=None, description="for split: file, Parquet or CSV of image_id and split"
    )
    seed: int = Field(default=1, ge=0)
    validation_fraction: Fraction = 0.1
    test_fraction: Fraction = 0.1
    maximum_rejects: float = Field(default=0.05, ge=0, le=1, description="share of photos that may be unusable")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction together leave nothing to train on")
        if (self.split == "file") != (self.split_file is not None):
            raise ValueError("split: file and split_file go together")
        return self


class Training(Group):
    """One trial: the machine, the launcher and the recipe. Ranges of the tuner override single values.

    The recipe's defaults are what `python -m benchmarks accuracy` was won with.
    """

    instance_type: InstanceType = "ml.g5.2xlarge"
    instance_count: int = Field(default=1, ge=1, le=64)
    volume_gigabytes: int = Field(default=100, ge=1, le=16384)
    backend: Literal["auto", "smddp", "nccl", "gloo"] = Field(
        default="auto",
        description="auto: nccl on GPUs, gloo on CPUs; smddp only when asked: it wants an image of its own",
    )
    spot: bool = True
    run_time: Duration = "1d"
    wait_time: Duration = Field(default="2d", description="with spot: run time and waiting for capacity together")
    checkpoint_minutes: PositiveFloat = 10.0
    input: Literal["stream", "fastfile", "file"] = Field(
        default="stream",
        description="how shards arrive: read from S3 as they are needed; or through a channel, by SageMaker's FastFile"
        " mode, or copied before training begins",
    )
    architecture: str = Field(default="resnet34", pattern=r"^[a-z0-9_]+$", description="a torchvision classifier")
    weights: S3Prefix | None = Field(
        default=None, description="weights to begin with (.safetensors or .pth); without it they are random"
    )
    image_size: int = Field(default=224, ge=32, le=1024)
    epochs: int = Field(default=30, ge=1, le=1000)
    batch_size: PositiveInt = Field(default=64, description="photos a process and forward pass")
    accumulation: PositiveInt = Field(default=1, description="forward passes an optimizer step")
    learning_rate: PositiveFloat = 0.001
    weight_decay: float = Field(default=0.05, ge=0)
    optimizer: Literal["sgd", "adamw"] = "adamw"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    warmup_epochs: float = Field(default=1.0, ge=0)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    ordinal_weight: float = Field(
        default=0.0, ge=0, description="of the squared earth mover's distance of counts, beside the cross entropy"
    )
    ema_decay: float = Field(
        default=0.99, ge=0, lt=1, description="of the average of weights that is validated and kept; 0: none"
    )
    clip_norm: float = Field(default=0.0, ge=0, description="largest norm of the gradient; 0: any")
    class_weighting: Literal["balanced", "sqrt", "none"] = "sqrt"
    patience: int = Field(
        default=5, ge=0, description="epochs without a better accuracy before a trial stops; 0: never"
    )
    workers: int = Field(default=4, ge=0, le=64, description="loader processes a training process")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    sync_batch_norm: bool = Field(default=False, description="batch statistics over all processes; wants GPUs")
    compile: bool = Field(default=False, description="by torch.compile; the first steps then take minutes")
    checkpoints_kept: PositiveInt = Field(default=2, description="the newest so many")
    seed: int = Field(default=1, ge=0)
    profile_steps: int = Field(
        default=0, ge=0, le=1000, description="steps of a trial to profile into its output.tar.gz; 0: none"
    )

    @property
    def launcher(self) -> Literal["smddp", "torchrun"]:
        """What starts the processes: SMDDP's own launcher when it is asked for and can run, else torchrun."""
        return "smddp" if self.backend == "smddp" else "torchrun"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.backend == "smddp" and self.instance_type not in instances.SMDDP:
            raise ValueError(
                f"backend smddp does not run on {self.instance_type};"
                f" take {', '.join(instances.SMDDP)}, or backend: auto"
            )
        if self.backend == "nccl" and not instances.gpus(self.instance_type):
            raise ValueError(f"backend nccl wants GPUs and {self.instance_type} has none; take backend: auto or gloo")
        if not instances.gpus(self.instance_type) and (self.sync_batch_norm or self.precision == "fp16"):
            what = "sync_batch_norm: true" if self.sync_batch_norm else "precision: fp16"
            raise ValueError(f"{what} wants GPUs and {self.instance_type} has none")
        if self.weights and not self.weights.endswith((".safetensors", ".pth")):
            raise ValueError("weights: give a .safetensors file, or a .pth file of a state dict")
        if self.spot and seconds(self.wait_time) < seconds(self.run_time):
            raise ValueError("wait_time includes the run time: make it at least as long as run_time")
        return self


class Continuous(Group):
    """A range to search between two numbers."""

    minimum: float
    maximum: float
    scale: Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"] = "Auto"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError("minimum must be below maximum")
        if self.scale == "Logarithmic" and self.minimum <= 0:
            raise ValueError("a logarithmic range starts above 0")
        return self


class Choices(Group):
    """A list of values to search."""

    values: list[str | int | float] = Field(min_length=2, max_length=30)


def _range_kind(value: Any) -> str:
    has_values = "values" in value if isinstance(value, dict) else isinstance(value, Choices)
    return "choices" if has_values else "continuous"


Range = Annotated[
    Annotated[Continuous, Tag("continuous")] | Annotated[Choices, Tag("choices")], Discriminator(_range_kind)
]
Searchable = Literal[
    "learning_rate",
    "weight_decay",
    "label_smoothing",
    "ordinal_weight",
    "ema_decay",
    "momentum",
    "batch_size",
    "architecture",
    "optimizer",
]
_DEFAULT_RANGES: dict[Searchable, Range] = {
    "learning_rate": Continuous(minimum=1e-4, maximum=3e-3, scale="Logarithmic"),
    "weight_decay": Continuous(minimum=1e-3, maximum=0.2, scale="Logarithmic"),
}


class Hyperband(Group):
    """How many epochs Hyperband gives a trial; what is not set follows the epochs that a trial trains for.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_HyperbandStrategyConfig.html
    """

    minimum_epochs: PositiveInt | None = Field(
        default=None, description="no trial is stopped before; default a ninth of training.epochs: two halts on the way"
    )
    maximum_epochs: PositiveInt | None = Field(
        default=None, description="a trial that got so far is stopped; default all epochs of the run"
    )


class Tuning(Group):
    """The search over trials."""

    strategy: Literal["Bayesian", "Random", "Hyperband"] = "Bayesian"
    trials: int = Field(default=12, ge=1, le=750)
    parallel: int = Field(default=3, ge=1, le=100)
    early_stopping: bool | None = Field(
        default=None, description="stop trials that fall behind the median; default yes, but not with Hyperband"
    )
    hyperband: Hyperband = Hyperband()
    seed: int = Field(default=1, ge=0, le=2147483647)
    ranges: dict[Searchable, Range] = Field(default=_DEFAULT_RANGES, min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.parallel > self.trials:
            raise ValueError(f"parallel is {self.parallel} but there are only {self.trials} trials")
        if self.strategy == "Hyperband" and self.early_stopping:
            raise ValueError("Hyperband stops trials by itself and SageMaker refuses both: leave early_stopping out")
        for name, values in self.ranges.items():
            _check_range(name, values)
        return self

    @property
    def stops_early(self) -> bool:
        """Whether SageMaker's own early stopping is on: unless it is refused, and never beside Hyperband."""
        return self.strategy != "Hyperband" and self.early_stopping is not False


def _check_range(name: str, values: Continuous | Choices) -> None:
    """Refuse what the trainer would refuse, after everything before it has run."""
    field = Training.model_fields[name]
    if isinstance(values, Continuous) and field.annotation is not float:
        raise ValueError(f"ranges.{name} is no number with a point; list what to try: {name}: {{values: [...]}}")
    kind: Any = Annotated[field.annotation, Field(), *field.metadata]
    adapter: TypeAdapter[Any] = TypeAdapter(kind, config={"strict": True})
    tried = values.values if isinstance(values, Choices) else [values.minimum, values.maximum]
    for value in tried:
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"ranges.{name}: {value!r} cannot be: {error.errors()[0]['msg']}") from None


def _check_hyperband(hyperband: Hyperband, epochs: int) -> None:
    """Refuse bounds that training.epochs makes meaningless, or that the service would refuse."""
    for name, bound in hyperband:
        if bound is not None and bound > epochs:
            raise ConflictError(
                f"{name} is {bound} but a trial trains for {epochs} epochs; take {epochs} at most, or raise"
                " training.epochs",
                f"tuning.hyperband.{name}",
            )
    minimum, maximum = hyperband.minimum_epochs, hyperband.maximum_epochs
    if minimum is not None and maximum is not None and minimum > maximum:
        raise ConflictError(
            f"minimum_epochs is {minimum}, above maximum_epochs, which is {maximum}", "tuning.hyperband.minimum_epochs"
        )


class Evaluation(Group):
    """How the best model is judged."""

    instance_type: InstanceType = "ml.m5.2xlarge"
    decision: Literal["argmax", "expected"] = Field(
        default="argmax", description="a count is the likeliest class, or the rounded expectation (lower RMSE)"
    )


class Gate(Group):
    """What a model has to reach to be registered."""

    minimum_accuracy: float = Field(default=0.5, ge=0, le=1)
    maximum_rmse: PositiveFloat = 1.0
    maximum_accuracy_loss: float = Field(
        default=0.01,
        ge=-1,
        le=1,
        description="to the latest approved version on the same photos; 1 lets any model pass, -0.01 asks for a gain",
    )


class Registry(Group):
    """The Model Registry."""

    group: str = Field(
        default="", pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$", description="model package group; default NAME"
    )
    approval: Literal["PendingManualApproval", "Approved"] = Field(
        default="PendingManualApproval",
        description="Approved: runs register approved versions, unless one is started with another ApprovalStatus;"
        " otherwise a person approves, and no run may",
    )

    @property
    def approvals(self) -> list[str]:
        """What a run may register a version as."""
        return list(dict.fromkeys(["PendingManualApproval", self.approval]))


class Endpoint(Group):
    """What an approved model is served on, and how carefully a version takes the place of another."""

    name: str = Field(default="", pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$", description="default NAME")
    mode: Literal["real-time", "serverless"] = Field(
        default="real-time",
        description="serverless costs nothing while nobody asks, and has no canary, alarms, capture or scaling",
    )
    instance_type: InstanceType = "ml.c5.xlarge"
    instance_count: int = Field(default=1, ge=1, le=100, description="from two on, a new version gets a canary first")
    maximum_instance_count: int = Field(
        default=1, ge=1, le=100, description="more than instance_count: the endpoint scales between the two"
    )
    invocations_per_instance: PositiveInt = Field(
        default=600, description="requests a minute and instance that scaling aims at"
    )
    batch_instance_type: InstanceType = Field(default="ml.c5.xlarge", description="of batch transform jobs")
    serverless_memory_megabytes: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 3072
    serverless_concurrency: int = Field(default=5, ge=1, le=200)
    canary_percent: int = Field(default=10, ge=1, le=50, description="of the instances, and so of the traffic")
    canary_seconds: int = Field(default=300, ge=0, le=3600)
    baking_seconds: int = Field(
        default=300, ge=0, le=3600, description="how long the old instances are kept after all traffic has moved"
    )
    maximum_errors: PositiveInt = Field(
        default=5, description="answers with a status of 500 or above a minute; more roll a deployment back"
    )
    maximum_latency_milliseconds: PositiveInt = Field(
        default=2000, description="of the slowest hundredth of a minute's answers; more roll a deployment back"
    )
    capture_percent: int = Field(
        default=10, ge=0, le=100, description="requests that are kept in S3, to be watched for drift; 0: none"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.maximum_instance_count != 1 and self.maximum_instance_count < self.instance_count:
            raise ValueError("maximum_instance_count is below instance_count; leave it out to have no scaling")
        return self


class Monitoring(Group):
    """Watching what the endpoint sees, against what the version that serves was tested on."""

    instance_type: InstanceType = "ml.m5.large"
    hours: int = Field(default=24, ge=1, le=24 * 31, description="length of the window that is looked at")
    level: float = Field(
        default=0.05, gt=0, lt=1, description="probability of a false alarm in a window where nothing has changed"
    )
    minimum_psi: float = Field(
        default=0.1, ge=0, le=10, description="stability index below which a difference is no drift, however sure it is"
    )
    minimum_photos: PositiveInt = Field(default=200, description="fewer are not judged, nor is a smaller baseline")
    cooldown_days: int = Field(
        default=7, ge=0, le=365, description="after the start of any run, in which a drift starts no other"
    )


class Cache(Group):
    """Step caching: how long a step's result may be used again for the same image, arguments and inputs."""

    enabled: bool = True
    fresh_for: Duration = Field(default="12h", description="QueryMetadata: after this a run looks for new bins")
    keep_for: Duration = Field(default="30d", description="ShardImages and TuneModel")


class Network(Group):
    """Where jobs run, and what can be seen of their traffic."""

    subnets: list[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]] = Field(
        default=[], max_length=16, description="private subnets that jobs, trials and the endpoint run in; none: AWS's"
    )
    security_groups: list[Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]] = Field(default=[], max_length=5)
    isolation: bool = Field(
        default=False,
        description="trials get no network but each other's: shards come through a channel, so training.input must"
        " be fastfile or file",
    )
    encrypt_traffic: bool = Field(default=False, description="between the instances of a job; takes longer")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.subnets) != bool(self.security_groups):
            missing = "security_groups" if self.subnets else "subnets"
            raise ConflictError(
                f"subnets and security_groups go together; add {missing}", "network.subnets", "network.security_groups"
            )
        return self


class Encryption(Group):
    """Keys of your own, in place of those that AWS keeps."""

    kms_key: str = Field(
        default="",
        pattern=r"^(arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/(mrk-[a-f0-9]{32}|[a-f0-9-]{36}))?$",
        description="ARN of a KMS key for the bucket, the jobs' volumes and outputs, captures, and instances' volumes"
        " where they can be encrypted",
    )


class Images(Group):
    """What the container images are built on, and by whom."""

    builder: Literal["auto", "docker", "codebuild"] = Field(
        default="auto", description="auto: docker where it answers, else the account's CodeBuild project"
    )
    python_base: str = Field(
        default="public.ecr.aws/docker/library/python:3.11-slim-bookworm",
        pattern=_IMAGE,
        description="of the processing and inference images; NAME@sha256:DIGEST pins its bytes",
    )
    training_base: str = Field(
        default="",
        pattern=_IMAGE_OR_NONE,
        description="of the training image; default AWS's PyTorch training image for the backend, in the region",
    )
    evaluation_base: str = Field(
        default="",
        pattern=_IMAGE_OR_NONE,
        description="of the image that evaluates, on CPUs mostly; default training_base, and without one AWS's",
    )


class Retention(Group):
    """How long the bucket keeps what nothing needs any more, in days."""

    checkpoint_days: int = Field(default=14, ge=1, le=3650)
    capture_days: int = Field(default=90, ge=1, le=3650)
    superseded_days: int = Field(default=30, ge=1, le=3650, description="versions of objects that have newer ones")


class Alerts(Group):
    """Who is told, and of what, beside the alarms themselves."""

    email: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+)?$",
        description="gets the alarms and the budget's warnings",
    )
    monthly_budget: float = Field(
        default=0.0, ge=0, description="USD a month for SageMaker and Athena in this account, warned at 80%; 0: none"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.monthly_budget and not self.email:
            raise ConflictError("monthly_budget wants email: a budget warns somebody", "alerts.monthly_budget")
        return self


class ContinuousIntegration(Group):
    """Which repository may upsert without keys of its own, by GitHub's OpenID Connect tokens."""

    github_repository: str = Field(
        default="", pattern=r"^([A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100})?$", description="OWNER/NAME; none: no role"
    )
    branch: str = Field(
        default="main", pattern=r"^[A-Za-z0-9._/-]{1,200}$", description="whose runs may assume the role"
    )
    make_provider: bool = Field(
        default=False, description="make GitHub's identity provider too; an account has one, so others may have made it"
    )


class Tracking(Group):
    """Where trials are logged to as well. Secrets are named here, never written here."""

    kind: Literal["none", "mlflow", "wandb"] = "none"
    mlflow_server: str = Field(
        default="",
        pattern=_MLFLOW_SERVER,
        description="ARN of a SageMaker MLflow tracking server or app, or an https URL without credentials in it",
    )
    experiment: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._-]{0,127})?)?$",
        description="MLflow's experiment, or wandb's PROJECT or ENTITY/PROJECT; default NAME",
    )
    wandb_secret: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9/_+=.@:-]{0,2048}$",
        description="name or ARN of the Secrets Manager secret that holds the API key, which the job role may read",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        wanted = {"mlflow": "mlflow_server", "wandb": "wandb_secret"}
        for kind, name in wanted.items():
            if self.kind == kind and not getattr(self, name):
                raise ValueError(f"kind {kind} wants {name}: {type(self).model_fields[name].description}")
        return self


class Settings(Group):
    """All settings of one profile."""

    name: str = Field(
        pattern=_NAME,
        max_length=24,
        description="the pipeline's name, and a prefix of all it owns",
    )
    account: Account
    data: Data
    shard: Shard = Shard()
    training: Training = Training()
    tuning: Tuning = Tuning()
    evaluation: Evaluation = Evaluation()
    gate: Gate = Gate()
    registry: Registry = Registry()
    endpoint: Endpoint = Endpoint()
    monitoring: Monitoring = Monitoring()
    cache: Cache = Cache()
    tracking: Tracking = Tracking()
    network: Network = Network()
    encryption: Encryption = Encryption()
    images: Images = Images()
    retention: Retention = Retention()
    alerts: Alerts = Alerts()
    ci: ContinuousIntegration = ContinuousIntegration()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        """Name after the pipeline what is not named: two pipelines in one account must not share an endpoint."""
        if not isinstance(values, dict) or not isinstance(name := values.get("name"), str):
            return values
        if re.fullmatch(_NAME, name) is None:  # one mistake, not one more for each name that would follow from it
            return values
        defaults = (
            ("data", "database", name.replace("-", "_")),
            ("data", "workgroup", name),
            ("registry", "group", name),
            ("endpoint", "name", name),
        )
        named = dict(values)
        for group, key, default in defaults:
            given = named.get(group, {})
            if isinstance(given, Group):
                given = given.model_dump()
            if isinstance(given, dict) and key not in given:
                named[group] = {**given, key: default}
        return named

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tuning.strategy == "Hyperband":
            _check_hyperband(self.tuning.hyperband, self.training.epochs)
        if self.network.isolation:
            self._check_isolation()
        if self.network.subnets and self.endpoint.mode == "serverless":
            raise ConflictError(
                "a serverless endpoint runs in no VPC of yours; take real-time, or leave network.subnets and"
                " network.security_groups out",
                "endpoint.mode",
                "network.subnets",
            )
        if self.encryption.kms_key and f":{self.account.region}:" not in self.encryption.kms_key:
            raise ConflictError(
                f"the key is not of the account's region, {self.account.region}; its jobs can use no other",
                "encryption.kms_key",
            )
        return self

    def _check_isolation(self) -> None:
        """Refuse what a trial without a network could not do."""
        kind = self.tracking.kind
        wrong = (
            ("training.input", self.training.input == "stream", ": stream reads S3; take fastfile, or file"),
            ("training.weights", self.training.weights is not None, " are read from S3; leave them out"),
            ("tracking.kind", kind != "none", f": {kind} calls a server; take none"),
        )
        for place, found, reason in wrong:
            if found:
                message = f"network.isolation leaves trials without a network, but {place}{reason}"
                raise ConflictError(message, place, "network.isolation")

    def hyperband_minimum(self) -> int:
        """Epochs before which Hyperband stops no trial. With its factor of three a ninth leaves two halts."""
        return self.tuning.hyperband.minimum_epochs or max(1, self.training.epochs // 9)

    def role_arn(self, kind: Role) -> str:
        """ARN of one of the roles."""
        return f"arn:aws:iam::{self.account.id}:role/{self.role_name(kind)}"

    def role_name(self, kind: Role) -> str:
        """Name of one of the roles."""
        return getattr(self.account, f"{kind}_role", "") or f"{self.name}-{kind}"

    def repository(self, image: Literal["processing", "training", "inference"]) -> str:
        """ECR repository of an image, without a tag."""
        return f"{self.account.id}.dkr.ecr.{self.account.region}.amazonaws.com/{self.name}-{image}"

    @property
    def deploy_function(self) -> str:
        """Name of the deploy Lambda."""
        return f"{self.name}-deploy"

    @property
    def deploy_function_arn(self) -> str:
        """ARN of the deploy Lambda."""
        return f"arn:aws:lambda:{self.account.region}:{self.account.id}:function:{self.deploy_function}"

    @property
    def dead_letter_queue(self) -> str:
        """Name of the SQS queue for what a schedule or a rule could not deliver, or the deploy function not do."""
        return f"{self.name}-dead-letters"

    @property
    def dead_letter_queue_arn(self) -> str:
        """ARN of that queue."""
        return f"arn:aws:sqs:{self.account.region}:{self.account.id}:{self.dead_letter_queue}"

    @property
    def alarms(self) -> tuple[str, str]:
        """Names of the endpoint's alarms, which roll a deployment back: errors, latency."""
        return (f"{self.name}-endpoint-errors", f"{self.name}-endpoint-latency")

    @property
    def captures_uri(self) -> str:
        """Where the endpoint's captured requests go."""
        return f"{self.root_uri}/captures"

    @property
    def checkpoints_uri(self) -> str:
        """Where trials keep their checkpoints, a folder a run; the bucket lets them expire."""
        return f"{self.root_uri}/checkpoints"

    @property
    def code_prefix(self) -> str:
        """Keys of the deploy function's zip and of image sources: not below `prefix`, where jobs may write."""
        return f"{self.data.prefix}-code"

    @property
    def stack(self) -> str:
        """Name of the CloudFormation stack with all that lives as long as the account."""
        return f"{self.name}-account"

    @property
    def image_builder(self) -> str:
        """Name of the CodeBuild project that builds the images where there is no Docker."""
        return f"{self.name}-images"

    @property
    def alerts_topic(self) -> str:
        """Name of the SNS topic that alarms go to where somebody is to be told."""
        return f"{self.name}-alerts"

    @property
    def root_uri(self) -> str:
        """Where the pipeline keeps all it makes."""
        return f"s3://{self.data.bucket}/{self.data.prefix}"
