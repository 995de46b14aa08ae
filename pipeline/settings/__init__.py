"""The settings of a user: `pipeline.yaml`, typed, in the groups of the pipeline, with profiles laid over the base.

Each group is a class, and each field has its meaning, unit and an example; docs/settings.md is generated from them. The
values that change from run to run are Pipeline Parameters (`definition.parameters`), with the settings as defaults.
"""

from pipeline.settings.account import Account, ContinuousIntegration
from pipeline.settings.fields import ConflictError, iso_duration, seconds
from pipeline.settings.training import Choices
from pipeline.settings.whole import REPOSITORIES, Role, Settings

__all__ = [
    "REPOSITORIES",
    "Account",
    "Choices",
    "ConflictError",
    "ContinuousIntegration",
    "Role",
    "Settings",
    "iso_duration",
    "seconds",
]
