from __future__ import annotations

from typing import Any

import pytest

from pipeline.console import serving
from steps.contracts.errors import PipelineError
from tests.conftest import free_port


@pytest.fixture(autouse=True)
def ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten ports, of which one is free: those of the console may all be in use on this machine."""
    monkeypatch.setattr(serving, "PORT", min(free_port(), 65_526))


def test_it_listens_on_loopback_only() -> None:
    with serving.listen() as listening:
        host, port = listening.getsockname()
        assert (host, port in range(serving.PORT, serving.PORT + 10)) == ("127.0.0.1", True)


def test_a_port_in_use_is_refused_with_the_option_or_replaced_where_another_will_do() -> None:
    with serving.listen() as first:
        port = first.getsockname()[1]
        with pytest.raises(PipelineError, match=rf"port {port} on 127.0.0.1: in use; .* --port N"):
            serving.listen(port)
        with serving.listen(port, otherwise=True) as second:
            assert second.getsockname()[1] != port


class Server:
    should_exit = False


def test_a_console_ends_when_it_is_told_to() -> None:
    server: Any = Server()
    serving._watch(server, lambda: True)
    assert server.should_exit


def test_a_console_that_cannot_find_out_whether_it_has_to_end_ends() -> None:
    server: Any = Server()

    def fails() -> bool:
        raise PipelineError("cloud.json is damaged")

    with pytest.raises(PipelineError):
        serving._watch(server, fails)
    assert server.should_exit
