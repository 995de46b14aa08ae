"""`python -m pipeline`, with one line where Python is too old or a package is missing."""

import sys

from pipeline.interpreter import remedy

LEAST = (3, 11)


def start() -> None:
    """Run the command line; end with one line where that is not possible."""
    if sys.version_info < LEAST:
        sys.exit(remedy(f"Python {sys.version_info[0]}.{sys.version_info[1]} is too old, 3.11 is required"))
    try:
        from pipeline.cli import main
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("pipeline", "steps"):
            raise
        sys.exit(remedy(f"the package {error.name} is missing in {sys.executable}"))
    main()


if __name__ == "__main__":
    start()
