"""The direct reader of metadata files against the usual way, and against listing and fetching alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from benchmarks import proxy, server
from benchmarks.bins import bins, upload_metadata
from benchmarks.cases import Bound, Case, say, take_turns
from benchmarks.child import Work, measure
from benchmarks.contenders import querying
from benchmarks.options import Options
from pipeline.samples.layout import METADATA
from steps.contracts.s3_uri import S3Uri

UNIT = "files/s"
# "roughly 100-200 milliseconds" until the first byte of a small object; of a listing no figure is published:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-design-patterns.html
LISTING_SECONDS = 0.1


def listing(options: Options) -> Iterator[Case]:
    """Files per second of the listing alone: next to the server, and with the latency of S3."""
    with server.bucket() as bucket, proxy.running(server.port(), LISTING_SECONDS) as port:
        raw = S3Uri(bucket, "raw")
        upload_metadata(bins(options.count), options.count, raw)
        arguments = {"location": str(raw.join(METADATA)), "count": options.count}
        distant = {"AWS_ENDPOINT_URL_S3": f"http://{proxy.LOOPBACK}:{port}"}

        def rate(contender: Callable[..., Work], environment: Mapping[str, str] | None = None) -> float:
            measured = measure(contender, arguments, environment)
            busy = f"{measured.cpu_seconds:.1f} s processor, {measured.peak_bytes / 1e6:.0f} MB peak"
            say(f"  {contender.__name__}: {measured.seconds:.2f} s ({busy})")
            return options.count / measured.seconds

        contenders = {
            "baseline": lambda: rate(querying.boto3_listing),
            "ours": lambda: rate(querying.step_listing),
        }
        yield Case("listing", UNIT, **take_turns(contenders, options.rounds, UNIT))
        contenders = {
            "baseline": lambda: rate(querying.page_after_page, distant),
            "ours": lambda: rate(querying.step_listing, distant),
        }
        # Requests share the wait for S3, not the processor's time per page: 2.8 and 3.3 times as fast on two cores that
        # also ran the server and other work.
        bounds = (Bound("ratio", "at least", 2.5),)
        yield Case("listing-latency", UNIT, **take_turns(contenders, options.rounds, UNIT), bounds=bounds)


def cases(options: Options) -> Iterator[Case]:
    """Files per second, from the listing to the Parquet in S3."""
    with server.bucket() as bucket:
        raw = S3Uri(bucket, "raw")
        upload_metadata(bins(options.count), options.count, raw)

        def rate(contender: Callable[..., Work], **arguments: object) -> float:
            measured = measure(contender, {"location": str(raw.join(METADATA)), "count": options.count, **arguments})
            peak = f"{measured.peak_bytes / 1e6:.0f} MB peak"
            say(f"  {contender.__name__}: {measured.seconds:.2f} s ({measured.cpu_seconds:.1f} s processor), {peak}")
            return options.count / measured.seconds

        def into_parquet(contender: Callable[..., Work]) -> float:
            with server.bucket() as target:
                return rate(contender, target=f"s3://{target}/metadata")

        contenders = {
            "limit": lambda: rate(querying.list_and_fetch),
            "baseline": lambda: into_parquet(querying.threads),
            "ours": lambda: into_parquet(querying.direct_reader),
        }
        bounds = (Bound("of_limit", "at least", 0.8),)
        yield Case("query", UNIT, **take_turns(contenders, options.rounds, UNIT), bounds=bounds)
