"""The trainer: the block-adapted network, Flower apps, checkpoints, export. Is never sent plain images or keys."""
