"""The alert function, a Lambda function with `steps.contracts.names`: the standard library and boto3 only."""
