"""What a step needs of its container and of S3."""
