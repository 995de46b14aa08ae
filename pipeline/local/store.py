"""The local cloud's resources as JSON documents in one SQLite file.

On a full disk nothing is created, but the jobs and runs that it ends must be seen to end: a change of an existing
document is then kept in memory, and written when there is space again.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steps.contracts.full_disk import is_disk_full, is_full

log = logging.getLogger(__name__)

Document = dict[str, Any]


class Store:
    """Documents by (kind, name), in the order of their creation. Safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.folder = path.parent
        self._lock = threading.RLock()
        self._unwritten: dict[tuple[str, str], str] = {}
        """Changed documents that are not in the file yet."""
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS documents (sequence INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
            " name TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (kind, name))"
        )

    def get(self, kind: str, name: str) -> Document | None:
        """The document, or None."""
        with self._lock:
            if body := self._unwritten.get((kind, name)):
                return dict(json.loads(body))
            row = self._connection.execute(
                "SELECT body FROM documents WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, kind: str, name: str, document: Document) -> None:
        """Create or replace a document; a replaced one keeps its place in the order.

        On a full disk a replaced one is kept in memory, until `write_kept` or another change of it writes it.
        """
        body = json.dumps(document)
        with self._lock:
            try:
                self._write(kind, name, body)
            except sqlite3.Error as error:
                if not self._is_full(error) or self.get(kind, name) is None:
                    raise
                log.warning("%s %s: the change is kept in memory: %s", kind, name, error)
                self._unwritten[kind, name] = body
            else:
                self._unwritten.pop((kind, name), None)

    def _write(self, kind: str, name: str, body: str) -> None:
        self._connection.execute(
            "INSERT INTO documents (kind, name, body) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body",
            (kind, name, body),
        )

    def create(self, kind: str, name: str, document: Document) -> bool:
        """Create a document. Returns False if the name is taken."""
        with self._lock:
            cursor = self._connection.execute(
                "INSERT OR IGNORE INTO documents (kind, name, body) VALUES (?, ?, ?)",
                (kind, name, json.dumps(document)),
            )
            return cursor.rowcount == 1

    def update(self, kind: str, name: str, change: Callable[[Document], None]) -> Document:
        """Change a document in place, atomically. Returns the result. Raises KeyError if there is none."""
        with self._lock:
            document = self.get(kind, name)
            if document is None:
                raise KeyError(f"{kind} {name}")
            change(document)
            self.put(kind, name, document)
            return document

    def write_kept(self) -> bool:
        """Write the changes that a full disk has kept in memory. Returns whether none is left."""
        with self._lock:
            for (kind, name), body in list(self._unwritten.items()):
                try:
                    self._write(kind, name, body)
                except sqlite3.Error as error:
                    if not self._is_full(error):
                        raise
                    return False
                del self._unwritten[kind, name]
            return True

    def _is_full(self, error: sqlite3.Error) -> bool:
        """SQLite says so itself, unless it lacks space for its shared memory: then it is an error of input or output.

        https://www.sqlite.org/rescode.html#full
        """
        return is_disk_full(error) or ("disk I/O" in str(error) and is_full(self.folder))

    def delete(self, kind: str, name: str) -> bool:
        """Delete a document. Returns False if there is none."""
        with self._lock:
            cursor = self._connection.execute("DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name))
            self._unwritten.pop((kind, name), None)
            return cursor.rowcount == 1

    def list(self, kind: str) -> list[Document]:
        """Every document of the kind, oldest first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT name, body FROM documents WHERE kind = ? ORDER BY sequence", (kind,)
            ).fetchall()
            return [json.loads(self._unwritten.get((kind, name), body)) for name, body in rows]

    def close(self) -> None:
        """Write what is kept in memory, and close the file."""
        with self._lock:
            if not self.write_kept():
                log.error("changes of %d documents are lost: the disk of %s is full", len(self._unwritten), self.folder)
            self._connection.close()
