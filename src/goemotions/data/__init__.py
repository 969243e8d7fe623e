"""What a split is, and where its rows come from."""
