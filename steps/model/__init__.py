"""The network that is trained, and the predictor that is served."""
