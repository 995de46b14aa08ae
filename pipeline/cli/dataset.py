"""Commands: dataset, which shows a data set and has further commands (`pipeline.cli.prune`)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pipeline.cli.app import RUN, app, options_of
from pipeline.cli.help import Application, Group
from pipeline.cli.output import AsJson, show, write_json

_DEFAULT = "show"


class _DefaultCommand(Group):
    """Commands with a default: `dataset latest` is `dataset show latest`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name first; a call for help is the group's own."""
        if not {"-h", "--help"}.intersection(args[:1]):
            name = next((argument for argument in args if not argument.startswith("-")), "")
            if name in self.commands:
                args = [name, *(argument for argument in args if argument is not name)]
            else:
                args = [_DEFAULT, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


datasets = Application(
    cls=_DefaultCommand,
    help="Show a run's data set: dataset [RUN|URI]. Delete unused shards: dataset prune.",
)
app.add_typer(datasets, name="dataset", rich_help_panel=RUN)


@datasets.command(name=_DEFAULT)
def dataset(
    context: typer.Context,
    reference: Annotated[
        str,
        typer.Argument(metavar="RUN|URI", help="Id or ARN of a run, 'latest', or the s3:// prefix of an index."),
    ] = "latest",
    as_json: AsJson = False,
) -> None:
    """Show a run's data set: splits, classes with their weights, photos left out, and what the splits share.

    The JSON has the index with every shard, and the summary of the run.
    """
    from pipeline.operations.dataset import description as operation
    from steps.contracts.left_out import left_out

    settings = options_of(context).connected()
    data = operation.find(settings, reference)
    if as_json:
        summary = data.summary.model_dump(mode="json") if data.summary else None
        refused = left_out(data.query, data.summary)
        write_json(
            {
                "uri": data.uri,
                "index": data.index.model_dump(mode="json"),
                "summary": summary,
                "left_out": refused,
                "query_problem": data.query_problem,
            }
        )
        return
    from pipeline.cli.views.dataset import dataset_page

    show(*dataset_page(data))
