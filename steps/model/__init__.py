"""The network that is trained, and the predictor that serves it."""
