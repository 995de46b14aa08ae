"""Documents in a file; on a full disk, what has begun can end, and nothing new begins."""

import sqlite3
import threading

import pytest

from pipeline.local.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cloud.sqlite")


def test_documents_outlive_the_process(store, tmp_path):
    store.put("pipeline", "bins", {"a": 1})
    store.close()
    assert Store(tmp_path / "cloud.sqlite").get("pipeline", "bins") == {"a": 1}


def test_a_name_is_taken_once_a_kind(store):
    assert store.create("model", "a", {"n": 1})
    assert not store.create("model", "a", {"n": 2})
    assert store.create("endpoint", "a", {"n": 3})
    assert store.get("model", "a") == {"n": 1}


def test_documents_come_in_the_order_they_were_made_in_even_when_changed(store):
    for name in ("c", "a", "b"):
        store.put("run", name, {"name": name})
    store.put("run", "c", {"name": "c", "changed": True})
    assert [document["name"] for document in store.list("run")] == ["c", "a", "b"]


def test_updates_from_many_threads_are_not_lost(store):
    store.put("counter", "x", {"n": 0})

    def add():
        for _ in range(50):
            store.update("counter", "x", lambda document: document.update(n=document["n"] + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("counter", "x") == {"n": 200}


def test_what_is_not_there_cannot_be_changed_or_deleted(store):
    assert store.get("a", "b") is None
    assert not store.delete("a", "b")
    with pytest.raises(KeyError):
        store.update("a", "b", lambda _: None)


@pytest.fixture
def full(store):
    """A function that makes the store's disk full, or not: SQLite fails as on a full disk at its number of pages."""

    def full(is_full):
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages if is_full else 1_000_000}")

    return full


LONG = "x" * 100_000


def test_on_a_full_disk_a_change_is_kept_in_memory_until_there_is_space(store, tmp_path, full):
    store.put("job", "a", {"status": "InProgress"})
    store.put("job", "b", {"status": "InProgress"})
    full(True)
    store.update("job", "a", lambda document: document.update(status="Failed", reason=LONG))
    store.put("job", "b", {"status": "Completed", "log": LONG})
    assert [document["status"] for document in store.list("job")] == ["Failed", "Completed"]
    assert store.get("job", "a")["reason"] == LONG
    assert not store.write_kept()
    full(False)
    assert store.write_kept()
    store.close()
    assert [document["status"] for document in Store(tmp_path / "cloud.sqlite").list("job")] == ["Failed", "Completed"]


def test_on_a_full_disk_nothing_is_created(store, full):
    full(True)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.put("job", "a", {"log": LONG})
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.create("job", "a", {"log": LONG})
    assert store.get("job", "a") is None
    assert store.write_kept()


def test_the_end_writes_what_is_kept_and_a_deleted_document_does_not_come_back(store, tmp_path, full):
    for name in ("a", "b"):
        store.put("job", name, {})
    full(True)
    for name in ("a", "b"):
        store.update("job", name, lambda document: document.update(log=LONG))
    store.delete("job", "b")
    full(False)
    store.close()
    assert Store(tmp_path / "cloud.sqlite").list("job") == [{"log": LONG}]
