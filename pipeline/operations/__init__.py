"""What one does to the pipeline: one module a noun, plain functions over AWS's own APIs."""
