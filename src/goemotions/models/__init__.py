"""What models/<model> is, and how it is made."""
