"""The local cloud: AWS's own APIs on 127.0.0.1. The compiled pipeline runs on it unchanged, on one machine."""
