"""Rewrite the files: `make golden`. What changed is for the reviewer of the commit to see."""

from __future__ import annotations

from tests import golden


def main() -> None:
    """Write every file anew, and remove those that no profile and no variant has."""
    wanted = {golden.path(name): name for name in golden.NAMES}
    for file in sorted(golden.FOLDER.glob("*.json")):
        if file not in wanted:
            file.unlink()
            print(f"removed {file.name}")
    for file, name in wanted.items():
        text = golden.reviewed(golden.compiled(name))
        before = file.read_text() if file.exists() else ""
        if text != before:
            file.write_text(text)
        print(f"{'unchanged' if text == before else 'written'} {file.name}")


if __name__ == "__main__":
    main()
