"""Inference: a mapping proposed from what a pipeline has received."""
