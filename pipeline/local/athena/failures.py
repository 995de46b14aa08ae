"""Why a query fails."""


class QueryError(Exception):
    """Ends a query execution as FAILED; the text is its StateChangeReason, the service's error name first."""


def unsupported(construct: str) -> QueryError:
    """A construct that Athena may know and the local Athena does not."""
    return QueryError(f"SYNTAX_ERROR: {construct} is not supported by the local Athena")
