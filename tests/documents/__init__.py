"""Documents that are written from the code: `python -m tests.documents` rewrites them."""
