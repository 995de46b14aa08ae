"""Own photos and labels into the layout of a run's raw data: `bin-images/ID.jpg` and `metadata/ID.json`."""
