"""Arguments of the monitor."""

from __future__ import annotations

from datetime import UTC, datetime

from steps.contracts.errors import StepError
from steps.monitor.run import run
from steps.monitor.settings import Settings
from steps.runtime.arguments import ArgumentParser
from steps.runtime.errors import run_as_job


def _time(text: str) -> datetime:
    """ISO 8601; EventBridge Scheduler's times are UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise StepError(f"--until is {text!r}; write a time like 2026-11-23T03:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def main() -> None:
    """Compare what an endpoint saw with the baseline of the version that it serves."""
    parser = ArgumentParser(prog="python3 -m steps.monitor", description=main.__doc__)
    parser.add_argument("--captures", required=True, help="S3 URI that the endpoint's data capture writes to")
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--variant", default="AllTraffic")
    parser.add_argument("--hours", type=int, default=24, help="length of the window")
    parser.add_argument("--until", type=_time, default=None, help="its end; default: now")
    parser.add_argument("--baseline", default="", help="S3 URI; default: what the version was registered with")
    parser.add_argument("--level", type=float, default=0.05, help="probability of a false alarm where nothing changed")
    parser.add_argument("--minimum-psi", type=float, default=0.1, help="smaller differences are no drift")
    parser.add_argument("--minimum-photos", type=int, default=200, help="fewer are not judged, here or in the baseline")
    parser.add_argument("--maximum-photos", type=int, default=5000, help="of more a random sample is compared")
    parser.add_argument("--namespace", default="BinCounting", help="of the CloudWatch metrics")
    parser.add_argument("--retrain", default="", help="pipeline that a drift starts; default: none")
    parser.add_argument("--cooldown-days", type=int, default=7, help="after a run's start, without another")
    given = vars(parser.parse_args())
    run(Settings(**{**given, "until": given["until"] or datetime.now(UTC)}))


if __name__ == "__main__":
    run_as_job(main)
