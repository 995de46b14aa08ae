"""What SageMaker would refuse, found before it is asked: botocore's own model of the service decides.

botocore checks required members and types before it sends a request, but no enumerations, patterns or definitions of
pipelines. This does all of it, for `check`, for the tests, and for every request and answer of the local cloud.
"""

from pipeline.aws.validation.definition import validate_definition
from pipeline.aws.validation.shapes import Problem, validate_request, validate_response

__all__ = ["Problem", "validate_definition", "validate_request", "validate_response"]
