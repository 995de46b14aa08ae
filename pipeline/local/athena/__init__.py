"""The local cloud's Athena: the statements of this project and of awswrangler, run by DuckDB over the S3 server.

    text -> parsing -> statements -> execution (with catalog, storage and engine) -> results

It follows Athena's documentation, cited in the modules. A construct of Athena's that it does not have ends as a FAILED
query that names the construct.
"""

from pipeline.local.athena.service import Athena, Connection
from pipeline.local.athena.storage import S3Access

__all__ = ["Athena", "Connection", "S3Access"]
