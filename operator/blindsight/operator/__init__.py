"""The operator: verifies a bundle and predicts on encrypted images with ONNX Runtime; no torch, no flwr."""
