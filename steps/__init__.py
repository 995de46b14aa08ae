"""The code in the containers: one package per step, and packages that several steps share."""
