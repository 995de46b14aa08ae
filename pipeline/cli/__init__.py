"""The command line. A command is a few lines that call one function; heavy imports happen inside commands."""

# The order of these imports is the order of the commands in the help.
# isort: off
from pipeline.cli.app import app, main
from pipeline.cli import demo
from pipeline.cli import local
from pipeline.cli import definition
from pipeline.cli import graph
from pipeline.cli import bootstrap
from pipeline.cli import images
from pipeline.cli import weights
from pipeline.cli import importing
from pipeline.cli import runs
from pipeline.cli import schedules
from pipeline.cli import dataset
from pipeline.cli import prune
from pipeline.cli import trials
from pipeline.cli import pages
from pipeline.cli import cost
from pipeline.cli import registry
from pipeline.cli import endpoint
from pipeline.cli import predict
from pipeline.cli import monitor
from pipeline.cli import delete
from pipeline.cli import console
# isort: on

__all__ = [
    "app",
    "bootstrap",
    "console",
    "cost",
    "dataset",
    "definition",
    "delete",
    "demo",
    "endpoint",
    "graph",
    "images",
    "importing",
    "local",
    "main",
    "monitor",
    "pages",
    "predict",
    "prune",
    "registry",
    "runs",
    "schedules",
    "trials",
    "weights",
]
