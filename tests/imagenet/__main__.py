"""Write the module again: `python -m tests.imagenet`."""

from __future__ import annotations

from tests import imagenet


def main() -> None:
    """Write the module."""
    imagenet.FILE.write_text(imagenet.render())


if __name__ == "__main__":
    main()
