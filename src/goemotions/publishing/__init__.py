"""What one uploads: a trained folder with ONNX files and a model card."""
