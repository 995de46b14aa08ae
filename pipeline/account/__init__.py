"""What an account gets once, as a CloudFormation stack: the template, its parameters, and what is done to it."""
