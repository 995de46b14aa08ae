"""The contracts between steps as typed code, the container's layout, and S3 streaming."""
