"""Validates requests and pipeline definitions by botocore's model of the service, without a request to SageMaker.

Botocore itself checks required members and types, but no enumerations, patterns or pipeline definitions. This package
checks all of them: for the command `check`, for the tests, and for all requests and answers of the local cloud.
"""

from pipeline.aws.validation.definition import validate_definition
from pipeline.aws.validation.shapes import Problem, validate_request, validate_response
from pipeline.aws.validation.values import validate_values

__all__ = ["Problem", "validate_definition", "validate_request", "validate_response", "validate_values"]
