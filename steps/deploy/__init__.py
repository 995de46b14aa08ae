"""The deploy function: the standard library and boto3 only, since it runs as a Lambda function of these files."""
