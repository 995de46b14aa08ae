"""Trials, the search over them, and where they are logged to."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from pipeline.aws import instances
from pipeline.settings.fields import ConflictError, Duration, Group, InstanceType, S3Prefix, Version, seconds

# Plain http reaches a server on this machine only.
_MLFLOW_SERVER = (
    r"^(arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:mlflow-(tracking-server|app)/[A-Za-z0-9-]{1,256}"
    r"|https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._/-]*)?|http://(127\.0\.0\.1|localhost)(:[0-9]+)?)?$"
)


class Training(Group):
    """One trial: the machine, the launcher and the recipe. Ranges of the tuner override single values.

    The recipe's defaults are what `python -m benchmarks accuracy` was won with.
    """

    version: Version = Field(default="1", description="another value trains again although nothing else has changed")
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
        if self.backend == "nccl" and not instances.has_gpus(self.instance_type):
            raise ValueError(f"backend nccl wants GPUs and {self.instance_type} has none; take backend: auto or gloo")
        if not instances.has_gpus(self.instance_type) and (self.sync_batch_norm or self.precision == "fp16"):
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


def check_hyperband(hyperband: Hyperband, epochs: int) -> None:
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
