"""Connected components by large stars and small stars: R. Kiveris, S. Lattanzi, V. Mirrokni, V. Rastogi,
S. Vassilvitskii: Connected Components in MapReduce and Beyond (SoCC 2014)."""

from __future__ import annotations

from steps.planning.rule import Session

# Turns, which grow with the square of the logarithm of the nodes at most: a billion nodes take about ten.
_TURNS = 200
# The paper's two operations. A row is an edge from a node u to a smaller one v.
_LARGE = """
    SELECT DISTINCT v AS u, m AS v FROM (
        SELECT u, v, least(u, min(v) OVER (PARTITION BY u)) AS m FROM (
            SELECT u, v FROM {edges} UNION ALL SELECT v AS u, u AS v FROM {edges}
        ) AS both
    ) AS near WHERE v > u AND v <> m
"""
_SMALL = """
    SELECT DISTINCT u, v FROM (
        SELECT v AS u, m AS v FROM (SELECT u, v, min(v) OVER (PARTITION BY u) AS m FROM {edges}) AS near
        UNION ALL SELECT u, min(v) AS v FROM {edges} GROUP BY u
    ) AS moved WHERE u <> v
"""


def connect(session: Session, name: str, edges: str) -> None:
    """Create a table (node, root) of the connected components of a table (u, v), as Session.connect.

    Edges stay as many as they are or become fewer, also those of a node in most of them.
    """
    session.create("star", f"SELECT DISTINCT greatest(u, v) AS u, least(u, v) AS v FROM {edges} WHERE u <> v")
    before = _state(session)
    for _ in range(_TURNS):
        session.create("large_star", _LARGE.format(edges="star"))
        session.create("star", _SMALL.format(edges="large_star"))
        session.drop("large_star")
        after = _state(session)
        if after == before:
            session.create(name, "SELECT u AS node, v AS root FROM star")
            session.drop("star")
            return
        before = after
    raise RuntimeError(f"the components of {edges} are not connected after {_TURNS} turns")


def _state(session: Session) -> tuple[int, int]:
    """The number of edges, and a hash of all."""
    edge = session.dialect.xor([session.dialect.hash("u"), session.dialect.hash("-1 - v")])
    row = session.rows(
        f"SELECT count(*) AS edges, coalesce(bit_xor({session.dialect.hash(edge)}), 0) AS hash FROM star"
    )
    return int(row["edges"][0].as_py()), int(row["hash"][0].as_py())
