"""The errors that a person reads as one line, without a traceback.

    Exception
    ├── StepError           steps.contracts.errors      input of a step that is wrong, or a broken contract
    │   └── UnansweredError steps.query.execution       a query that Athena has not run within its time limit
    └── PipelineError       steps.contracts.errors      an operation of the command line that fails
        ├── DemoError       pipeline.cli.demo_run       a command of the demo fails
        ├── ExpressionError pipeline.aws.cron           a schedule's expression that EventBridge would refuse
        ├── SettingsError   pipeline.settings.file      pipeline.yaml is missing or not valid
        └── TemplateError   pipeline.aws.cloudformation a template that CloudFormation would refuse

`steps.runtime.errors` writes a StepError to the job's failure file, `pipeline.cli.errors` prints both.
"""

from __future__ import annotations


class StepError(Exception):
    """Wrong input or a broken contract, in one line that names the file, key or image and the remedy."""


class PipelineError(Exception):
    """What went wrong, where, and what to do about it, in one line (or one line per mistake)."""
