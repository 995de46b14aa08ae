"""The deploy function, a Lambda function with `steps.contracts.names`: the standard library and boto3 only."""
