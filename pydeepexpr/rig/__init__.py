"""Procedural characters: heads built from numbers, moved by muscles, rendered in software."""
