"""Arguments, container, failures and S3 of every step."""
