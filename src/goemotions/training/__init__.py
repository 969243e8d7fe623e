"""Losses, batching, the one training loop, and the folder that a trained model is."""
