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
