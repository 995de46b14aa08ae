"""Kind: no thread of the local cloud ends in silence, and what depends on it ends with it."""

import ast
import logging
import threading

import pytest

from pipeline import ROOT
from pipeline.local import threads

LOCAL = ROOT / "pipeline" / "local"


def name_of(call):
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def starts(path):
    """Lines that start a thread beside the helper, or a pool whose results need not be asked for."""
    tree = ast.parse(path.read_text())
    # The results of a pool in a `with` are asked for where it is.
    scoped = {id(item.context_expr) for node in ast.walk(tree) if isinstance(node, ast.With) for item in node.items}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = name_of(node)
            if name == "Thread" or (name == "ThreadPoolExecutor" and id(node) not in scoped):
                yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_the_threads_of_the_local_cloud_are_started_in_one_place():
    assert list(starts(LOCAL / "threads.py"))  # the search finds what it is for
    others = [path for path in sorted(LOCAL.rglob("*.py")) if path.name != "threads.py"]
    assert [line for path in others for line in starts(path)] == []


def fail():
    raise ValueError("the reason")


@pytest.mark.parametrize("run", ["thread", "workers"])
def test_an_error_is_logged_and_ends_what_depends_on_the_work(run, caplog):
    ended, errors = threading.Event(), []

    def end(error):
        errors.append(error)
        ended.set()

    with caplog.at_level(logging.ERROR):
        if run == "thread":
            threads.start("job a", fail, end).join(30)
        else:
            workers = threads.Workers(1, "job a")
            workers.submit(fail, end)
            assert ended.wait(30)
            workers.close()
    assert [str(error) for error in errors] == ["the reason"]
    assert "the thread job a has failed" in caplog.text
    assert "ValueError: the reason" in caplog.text


def test_a_worker_goes_on_after_an_error_and_after_an_error_in_its_end(caplog):
    done = threading.Event()
    workers = threads.Workers(1, "event")
    workers.submit(fail, lambda error: fail())
    workers.submit(done.set, threads.nothing_depends)
    assert done.wait(30)
    workers.close()
    assert "what depends on the thread event could not be ended" in caplog.text
