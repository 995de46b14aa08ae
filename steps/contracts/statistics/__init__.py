"""Statistics of predictions that evaluation and the command line share."""
