"""The local cloud's resources as JSON documents in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Document = dict[str, Any]


class Store:
    """Documents by (kind, name), in the order of their creation. Safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS documents (sequence INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
            " name TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (kind, name))"
        )

    def get(self, kind: str, name: str) -> Document | None:
        """The document, or None."""
        with self._lock:
            row = self._connection.execute(
                "SELECT body FROM documents WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, kind: str, name: str, document: Document) -> None:
        """Create or replace a document; a replaced one keeps its place in the order."""
        with self._lock:
            self._connection.execute(
                "INSERT INTO documents (kind, name, body) VALUES (?, ?, ?)"
                " ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body",
                (kind, name, json.dumps(document)),
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

    def delete(self, kind: str, name: str) -> bool:
        """Delete a document. Returns False if there is none."""
        with self._lock:
            cursor = self._connection.execute("DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name))
            return cursor.rowcount == 1

    def list(self, kind: str) -> list[Document]:
        """Every document of the kind, oldest first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT body FROM documents WHERE kind = ? ORDER BY sequence", (kind,)
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
