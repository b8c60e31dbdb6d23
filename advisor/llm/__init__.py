"""Language models as lists of tensors: GGUF files, catalogue, architectures, file types."""
