"""Load the model, warm it up, and serve it until SIGTERM."""

from __future__ import annotations

import logging
import os

from steps.common import container
from steps.common.errors import StepError
from steps.common.predictor import Predictor
from steps.serve.app import Application
from steps.serve.counting import Counter

log = logging.getLogger(__name__)

GRACE_SECONDS = 25  # SageMaker sends SIGKILL 30 seconds after SIGTERM


def run() -> None:
    """Serve /opt/ml/model on port 8080. Raises StepError when the model or the port is not usable.

    SAGEMAKER_BIND_TO_PORT moves the port (SageMaker's own variable), SAGEMAKER_BIND_TO_HOST the address; MODEL_VERSION
    is answered with every count.
    """
    import uvicorn

    port = os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")
    if not port.isdigit():
        raise StepError(f"SAGEMAKER_BIND_TO_PORT is {port!r}; want a port number")
    # One thread an inference: requests run beside each other, and each would otherwise want all cores.
    predictor = Predictor.load(container.model_dir(), threads=1)
    counter = Counter(predictor, os.environ.get("MODEL_VERSION", ""))
    counter.warm_up()
    log.info("serving %s for quantities %s", predictor.description.architecture, predictor.description.classes)
    uvicorn.run(
        Application(counter),
        # In a container all addresses are the container's own.
        host=os.environ.get("SAGEMAKER_BIND_TO_HOST", "0.0.0.0"),  # noqa: S104
        port=int(port),
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
