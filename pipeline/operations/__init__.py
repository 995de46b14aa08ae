"""Operations on the pipeline: one module per noun, plain functions over AWS's own APIs."""
