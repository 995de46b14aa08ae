"""Settings in, a SageMaker pipeline in an account out."""

from pathlib import Path

# The project's folder: what images are hashed and built from.
ROOT = Path(__file__).resolve().parent.parent
