"""The S3 door: decides each request by the account's policies, and passes the bytes of allowed ones on unchanged."""
