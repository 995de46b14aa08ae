"""CloudFormation: stacks by change sets, made through the local cloud's own services.

A resource is made by the API of its service, so that it is where every other client looks for it. A type, property or
function that is not known here is refused, never skipped.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/Welcome.html
"""
