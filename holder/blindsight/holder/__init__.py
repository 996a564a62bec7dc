"""The data holder: images, sealed keys, encryption, publishing. Never needs torch or flwr."""
