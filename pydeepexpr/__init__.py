"""DeepExpr: find the character frame that carries the same expression as a human face."""

__version__ = "0.1.0"
