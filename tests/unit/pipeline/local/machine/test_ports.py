"""Where servers listen: on ports that outgoing connections do not take."""

import socket

from hypothesis import given
from hypothesis import strategies as st

from pipeline.local.machine import ports


@given(st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)).filter(lambda pair: pair[0] <= pair[1]))
def test_no_port_of_outgoing_connections_is_chosen_unless_all_are_theirs(outgoing):
    first, last = outgoing
    choice = ports.candidates(outgoing)
    assert choice
    assert ports.LOWEST <= choice[0] <= choice[-1] <= ports.HIGHEST
    if first > ports.LOWEST or last < ports.HIGHEST:
        assert not first <= choice[0] <= last
        assert not first <= choice[-1] <= last


def test_a_port_that_somebody_listens_on_is_not_free():
    with socket.socket() as taken:
        taken.bind((ports.LOOPBACK, ports.free_port()))
        taken.listen()
        assert not ports.is_free(taken.getsockname()[1])


def test_several_ports_are_all_different():
    assert len(set(ports.free_ports(9, frozenset({10_001})))) == 9


def test_a_taken_port_and_an_excluded_one_are_passed_over(monkeypatch):
    with socket.socket() as taken:
        taken.bind((ports.LOOPBACK, ports.free_port()))
        taken.listen()
        first = taken.getsockname()[1]
        second, third = ports.free_ports(2, frozenset({first}))
        answers = iter([first, second, third])
        monkeypatch.setattr(ports.secrets, "choice", lambda _: next(answers))
        assert ports.free_port(frozenset({second})) == third
