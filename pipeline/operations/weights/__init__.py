"""torchvision's published weights: whether the bucket has them, and bringing them there."""
