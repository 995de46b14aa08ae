"""The local cloud: AWS's own APIs on 127.0.0.1, so that the compiled pipeline runs whole on one machine."""
