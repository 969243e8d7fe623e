"""What a split is, where the rows come from, and the generated sample."""
