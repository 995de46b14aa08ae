"""Everything a user sets: `pipeline.yaml`, typed, grouped as the pipeline is, with profiles laid over it.

Each group is a class; a field is documented where it stands. What a person changes from run to run is a Pipeline
Parameter (see `definition.parameters`) whose default comes from here.
"""

from pipeline.settings.account import Account, ContinuousIntegration
from pipeline.settings.fields import ConflictError, iso_duration, seconds
from pipeline.settings.training import Choices
from pipeline.settings.whole import Role, Settings

__all__ = [
    "Account",
    "Choices",
    "ConflictError",
    "ContinuousIntegration",
    "Role",
    "Settings",
    "iso_duration",
    "seconds",
]
