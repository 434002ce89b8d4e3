"""The blocks that a row of an architecture file can name: each a function with `@block`, one file a family."""

from dsmobile.architectures.blocks import convolutions, head, inverted, spatial, xception
from dsmobile.architectures.blocks.registry import BLOCKS, argument_types, block

__all__ = ["BLOCKS", "argument_types", "block", "convolutions", "head", "inverted", "spatial", "xception"]
