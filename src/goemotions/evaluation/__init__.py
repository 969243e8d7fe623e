"""Inference with a trained folder, the metrics with their intervals, and the linear baseline."""
