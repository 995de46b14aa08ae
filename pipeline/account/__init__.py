"""The CloudFormation stack of an account: its template and parameters, and the operations on it."""
