"""What the entry of a file of labelled texts may be, guessed from the file alone."""
