"""The error that an operation of the local cloud answers with."""


class ServiceError(Exception):
    """An error of the service's own model, as boto3 raises it: `code` is the error's name there."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
