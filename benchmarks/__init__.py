"""`make bench`: this project's training and inference beside transformers' usual ones."""
