"""The code that runs inside the containers: one package a step, and what they share in `common`."""
