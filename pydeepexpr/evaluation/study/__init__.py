"""Perceptual studies: people recognise or rank what was retrieved, and their answers become numbers."""
