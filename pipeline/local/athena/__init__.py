"""The local cloud's Athena: the statements of this project and of awswrangler, run by DuckDB over the S3 server.

    text -> statements (what is asked) -> execution (what is done: catalog, storage, engine) -> results (what is kept)

What Athena does is followed by its documentation, cited where it is followed; what it does and this does not ends
as a FAILED query that names the construct. Nothing is pretended.
"""

from pipeline.local.athena.service import Athena
from pipeline.local.athena.storage import S3Access

__all__ = ["Athena", "S3Access"]
