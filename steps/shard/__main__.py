"""`python3 -m steps.shard`: photos and labels in, WebDataset shards and their index out."""

from __future__ import annotations

import pyarrow as pa

from steps.contracts.s3_uri import S3Uri
from steps.runtime.arguments import ArgumentParser
from steps.runtime.errors import run_as_job
from steps.shard.run import run
from steps.shard.settings import Settings


def parse(arguments: list[str] | None = None) -> Settings:
    """The command line (the process's own by default) as settings. Raises StepError where it is wrong."""
    parser = ArgumentParser(prog="steps.shard", description=__doc__)
    parser.add_argument("--image-location", type=S3Uri.parse, required=True, help="s3://BUCKET/PREFIX of the photos")
    parser.add_argument("--image-size", type=int, default=256, help="shorter side in pixels; 0 keeps the bytes")
    parser.add_argument("--quality", type=int, default=90, help="JPEG quality of resized photos, 1 to 100")
    parser.add_argument("--split", choices=("grouped", "random", "file"), default="grouped")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--validation-fraction", type=float, default=0.1)
    parser.add_argument("--test-fraction", type=float, default=0.1)
    parser.add_argument("--shard-megabytes", type=float, default=200, help="a shard's size, in 10^6 bytes")
    parser.add_argument("--maximum-rejects", type=float, default=0.05, help="share of photos that may be unusable")
    parser.add_argument(
        "--maximum-removed", type=float, default=0.2, help="share of a shard's photos that may have been removed since"
    )
    parser.add_argument("--compact", type=int, default=0, help="another number writes all shards again")
    parser.add_argument("--split-file-location", type=S3Uri.parse, help="for --split file: Parquet or CSV")
    return Settings(**vars(parser.parse_args(arguments)))


def main(arguments: list[str] | None = None) -> None:
    """Read the arguments (the process's own by default) and run the step."""
    # Arrow's own allocator keeps what was freed.
    pa.set_memory_pool(pa.system_memory_pool())
    run(parse(arguments))


if __name__ == "__main__":
    run_as_job(main)
