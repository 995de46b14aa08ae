"""Training of a trial, the search over trials, and experiment tracking."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
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
from pipeline.settings.classifiers import SMALLEST, classifier, half_size_refusal, size_refusal
from pipeline.settings.fields import (
    ConflictError,
    Duration,
    Group,
    TrainingType,
    Version,
    contract,
    field,
    form,
    seconds,
)
from steps.contracts.s3_uri import location

# Seconds: 28 days for a training job, https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StoppingCondition.html,
# and 672 hours for a run of a pipeline, https://docs.aws.amazon.com/general/latest/gr/sagemaker.html
LONGEST_TRAINING = 28 * 86_400
# Plain http reaches a server on this machine only.
_MLFLOW_SERVER = form(
    r"^(arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:mlflow-(tracking-server|app)/[A-Za-z0-9-]{1,256}"
    r"|https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._/-]*)?|http://(127\.0\.0\.1|localhost)(:[0-9]+)?)?$",
    "the ARN of an MLflow tracking server or app, or an https URL without credentials",
)
Architecture = Annotated[str, AfterValidator(classifier)]
IMAGENET, RANDOM = "imagenet", "none"


def _weights(value: str) -> str:
    """A word, or the location of a file. Raises ValueError, StepError for a location that no step reads."""
    if value in (IMAGENET, RANDOM):
        return value
    if not value.startswith("s3://"):
        raise ValueError(f"{value!r} are no initial weights; write {IMAGENET}, {RANDOM} or s3://bucket/file.pth")
    if not value.endswith((".safetensors", ".pth")):
        raise ValueError("weights must be a .safetensors file, or a .pth file with a state dict")
    return location(value)


Weights = Annotated[str, contract(_weights)]


class Training(Group):
    """A trial: its instances, its launcher and its recipe. The tuner's ranges override single values.

    docs/training.md compares recipes on real photos.
    """

    version: Version = field(
        "Version of the training; another value trains again although nothing else has changed",
        "1",
        parameter="TrainingVersion",
    )
    instance_type: TrainingType = field("Instance type of a trial", "ml.g5.2xlarge", parameter="TrainingInstanceType")
    instance_count: int = field("Instances of a trial", 1, ge=1, le=64, parameter="TrainingInstanceCount")
    volume_gigabytes: int = field("Storage volume per instance", 100, unit="GB", ge=1, le=16384)
    backend: Literal["auto", "smddp", "nccl", "gloo"] = field(
        "auto: nccl on GPUs, gloo on CPUs; smddp uses an image of its own, so auto never takes it", "auto"
    )
    spot: bool = field("Whether trials run on spot instances", True)
    run_time: Duration = field("Longest run time of a trial", "1d")
    wait_time: Duration = field("With spot: longest time of a trial, waiting for capacity included", "2d")
    checkpoint_minutes: PositiveFloat = field("Time between checkpoints", 10.0, unit="minutes")
    input: Literal["stream", "fastfile", "file"] = field(
        "stream: shards are read from S3 when needed; fastfile: through a channel in FastFile mode; file: copied"
        " before training begins",
        "stream",
    )
    architecture: Architecture = field("Classifier of torchvision", "resnet34")
    weights: Weights | None = field(
        "Initial weights. imagenet: torchvision's published weights of the architecture, which `python -m pipeline"
        " weights` puts into the bucket; none: random weights; or a .safetensors or .pth file in S3. Left out: imagenet"
        " in an AWS account, none in the local cloud and with network.isolation",
        None,
        example=IMAGENET,
    )
    image_size: int = field("Side of the square that photos are resized to", 224, unit="pixels", ge=SMALLEST, le=1024)
    progressive_resizing: float = field(
        "Share of the epochs, the first ones, in which the network sees photos of half the side, at a quarter of its"
        " computing; photos are loaded as in the others",
        0.0,
        ge=0,
        lt=1,
    )
    random_affine: bool = field(
        "Whether photos are at random rotated by up to 8 degrees, shrunk to 80% of their side or more, and moved, in"
        " training",
        True,
    )
    mirrored_answers: bool = field(
        "Whether an answer is the mean of the probabilities of a photo and of its mirror image; it takes twice as long,"
        " and a loaded network twice the memory",
        False,
    )
    epochs: int = field("Passes over the training split", 30, unit="epochs", ge=1, le=1000, parameter="Epochs")
    batch_size: int = field("Batch size per process and forward pass", 64, unit="photos", ge=2, le=4096)
    accumulation: PositiveInt = field("Forward passes per optimizer step", 1)
    learning_rate: float = field("Peak learning rate; not scaled by the number of processes", 0.001, gt=0, le=1)
    weight_decay: float = field("Weight decay; biases and normalisation layers have none", 0.05, ge=0)
    optimizer: Literal["sgd", "adamw"] = field("Optimizer; sgd is with Nesterov momentum", "adamw")
    momentum: float = field("Momentum of sgd", 0.9, ge=0, lt=1)
    warmup_epochs: float = field("Linear warm-up before the cosine decay", 1.0, unit="epochs", ge=0)
    label_smoothing: float = field("Share of the target spread over all classes", 0.05, ge=0, lt=1)
    ordinal_weight: float = field(
        "Weight of the squared earth mover's distance of counts, in addition to the cross entropy", 0.0, ge=0
    )
    ema_decay: float = field(
        "Decay of the exponential moving average of weights, which is validated and exported; 0: no average",
        0.99,
        ge=0,
        lt=1,
    )
    clip_norm: float = field("Largest norm of the gradient; 0: no limit", 0.0, ge=0)
    class_weighting: Literal["balanced", "sqrt", "none"] = field(
        "Weight of a class in the loss: inverse of its share, the square root of that, or 1", "sqrt"
    )
    best_epoch_by: Literal["accuracy", "loss"] = field(
        "Figure of the validation split by which a trial's best epoch is chosen, whose model it writes. The loss is the"
        " steadier one where validation photos are few",
        "accuracy",
    )
    patience: int = field(
        "Epochs without a better such figure after which a trial stops; 0: never", 5, unit="epochs", ge=0
    )
    workers: int = field("Loader processes per training process", 4, ge=0, le=64)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = field(
        "auto: bf16 or fp16 on GPUs with tensor cores for it, else fp32", "auto"
    )
    sync_batch_norm: bool = field("Whether batch statistics span all processes; requires GPUs", False)
    compile: bool = field("Whether the network is compiled by torch.compile; the first steps take minutes", False)
    set_level: float = field("Share of bins whose count is in the model's prediction set", 0.9, gt=0, lt=1)
    sure_accuracy: float = field(
        "Accuracy of the counts that the model calls sure, and that no person checks", 0.9, gt=0, lt=1
    )
    checkpoints_kept: PositiveInt = field("Newest checkpoints that are retained", 2)
    seed: int = field("Seed of initial weights, sample order and augmentation", 1, ge=0)
    profile_steps: int = field("Steps of a trial to profile into its output.tar.gz; 0: none", 0, ge=0, le=1000)

    @property
    def weights_file(self) -> str:
        """URI of the file that the settings name as initial weights; empty for a word, and for none."""
        return self.weights if self.weights and self.weights not in (IMAGENET, RANDOM) else ""

    @property
    def launcher(self) -> Literal["smddp", "torchrun"]:
        """The launcher of the training processes: SMDDP's own with backend smddp, else torchrun."""
        return "smddp" if self.backend == "smddp" else "torchrun"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.backend == "smddp" and self.instance_type not in instances.SMDDP:
            raise ValueError(
                f"backend smddp does not run on {self.instance_type};"
                f" take {', '.join(instances.SMDDP)}, or backend: auto"
            )
        if self.backend == "nccl" and not instances.has_gpus(self.instance_type):
            raise ValueError(f"backend nccl requires GPUs, {self.instance_type} has none; take backend: auto or gloo")
        if not instances.has_gpus(self.instance_type) and (self.sync_batch_norm or self.precision == "fp16"):
            what = "sync_batch_norm: true" if self.sync_batch_norm else "precision: fp16"
            raise ValueError(f"{what} requires GPUs, {self.instance_type} has none")
        if self.precision == "bf16" and not instances.computes_bfloat16(self.instance_type):
            raise ConflictError(
                f"precision bf16 requires a GPU of the Ampere generation or later, and {self.instance_type} has an"
                " older one; take auto, fp16 or fp32",
                "training.precision",
                "training.instance_type",
            )
        if reason := size_refusal(self.architecture, self.image_size):
            raise ConflictError(reason, "training.architecture", "training.image_size")
        if self.progressive_resizing and (reason := half_size_refusal(self.architecture, self.image_size)):
            raise ConflictError(reason, "training.architecture", "training.progressive_resizing")
        for name in ("run_time", "wait_time") if self.spot else ("run_time",):
            if seconds(getattr(self, name)) > LONGEST_TRAINING:
                raise ConflictError(
                    f"is {getattr(self, name)}; a training job, and a pipeline's run, last 28d at most",
                    f"training.{name}",
                )
        if self.spot and seconds(self.wait_time) < seconds(self.run_time):
            raise ValueError("wait_time includes the run time: make it at least as long as run_time")
        return self


class Continuous(Group):
    """A range of numbers to search."""

    minimum: float = field("Lower end of the range", example=0.0001)
    maximum: float = field("Upper end of the range", example=0.003)
    scale: Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"] = field("Scale of the search", "Auto")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError("minimum must be below maximum")
        if self.scale == "Logarithmic" and self.minimum <= 0:
            raise ValueError("a logarithmic range starts above 0")
        return self


class Choices(Group):
    """A list of values to search."""

    values: list[str | int | float] = field("Values to try", min_length=2, max_length=30, example=[32, 64])


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
    """Bounds of the epochs that Hyperband assigns to a trial.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_HyperbandStrategyConfig.html
    """

    minimum_epochs: PositiveInt | None = field(
        "Epochs before which no trial is stopped; left out: a ninth of training.epochs, which leaves two decisions",
        None,
        example=3,
    )
    maximum_epochs: PositiveInt | None = field(
        "Epochs after which every trial is stopped; left out: all epochs of the run", None, example=30
    )


class Tuning(Group):
    """The search over trials."""

    strategy: Literal["Bayesian", "Random", "Hyperband"] = field("Strategy of the search", "Bayesian")
    trials: int = field("Trials of a tuning job", 12, ge=1, le=750)
    parallel: int = field("Trials at the same time", 3, ge=1, le=100)
    early_stopping: bool | None = field(
        "Whether trials behind the median stop early; left out: yes, except with Hyperband", None, example=False
    )
    hyperband: Hyperband = Hyperband()
    seed: int = field("Seed of the search", 1, ge=0, le=2147483647)
    ranges: dict[Searchable, Range] = field(
        "Hyperparameters to search, each with minimum, maximum and scale, or with values; a profile's ranges replace"
        " those of the base",
        _DEFAULT_RANGES,
        min_length=1,
        example={"batch_size": {"values": [32, 64]}},
    )

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
        """Whether SageMaker's own early stopping is on; Hyperband and it exclude each other."""
        return self.strategy != "Hyperband" and self.early_stopping is not False


def _check_range(name: str, values: Continuous | Choices) -> None:
    """Refuse values that the trainer would refuse after hours, when all steps before it have run."""
    searched = Training.model_fields[name]
    if isinstance(values, Continuous) and searched.annotation is not float:
        raise ValueError(f"ranges.{name} is not a decimal number; list its values: {name}: {{values: [...]}}")
    kind: Any = Annotated[searched.annotation, Field(), *searched.metadata]
    adapter: TypeAdapter[Any] = TypeAdapter(kind, config={"strict": True})
    candidates = values.values if isinstance(values, Choices) else [values.minimum, values.maximum]
    for value in candidates:
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"ranges.{name}: {value!r} is refused: {error.errors()[0]['msg']}") from None


def check_hyperband(hyperband: Hyperband, epochs: int) -> None:
    """Refuse bounds beyond training.epochs, or out of order, which the service would refuse."""
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
    """Experiment tracking. Secrets are named in the settings, never written there."""

    kind: Literal["none", "mlflow", "wandb"] = field("Tracker that trials log to", "none")
    mlflow_server: str = field(
        "ARN of a SageMaker MLflow tracking server or app, or an https URL without credentials; required with mlflow",
        "",
        pattern=_MLFLOW_SERVER,
        example="arn:aws:sagemaker:us-east-1:111122223333:mlflow-tracking-server/bins",
    )
    experiment: str = field(
        "Experiment of MLflow, or PROJECT or ENTITY/PROJECT of wandb; empty: NAME",
        "",
        pattern=form(
            r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._-]{0,127})?)?$",
            "a name, or ENTITY/PROJECT, of letters, digits and any of . _ -",
        ),
        example="bins",
    )
    wandb_secret: str = field(
        "Name or ARN of the Secrets Manager secret with wandb's API key; required with wandb",
        "",
        pattern=form(
            r"^[A-Za-z0-9/_+=.@:-]{0,2048}$", "a secret's name or ARN: letters, digits and any of / _ + = . @ : -"
        ),
        example="bins-wandb",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        required = {"mlflow": "mlflow_server", "wandb": "wandb_secret"}
        for kind, name in required.items():
            if self.kind == kind and not getattr(self, name):
                raise ValueError(f"kind {kind} requires {name}: {type(self).model_fields[name].description}")
        return self
