"""Hydra configuration, packaged: `bc` and `pretrain`. Defaults live in the dataclasses that they name."""
