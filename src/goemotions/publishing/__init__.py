"""A trained folder ready to upload, with ONNX files and a model card."""
