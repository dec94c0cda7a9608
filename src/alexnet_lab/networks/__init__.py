"""The networks: pure torch.nn, no Lightning, no Hydra, no files."""
