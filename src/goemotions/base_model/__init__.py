"""What models/<model> is, and how it is made: verified files, safetensors, a fast tokenizer."""
