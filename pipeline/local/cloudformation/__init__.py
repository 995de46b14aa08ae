"""CloudFormation: stacks by change sets. Resources are created by the APIs of the local cloud's own services.

A type, property or function that is not supported here is refused, never skipped.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/Welcome.html
"""
