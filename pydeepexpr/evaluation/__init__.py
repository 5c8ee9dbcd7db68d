"""The papers' tables and figures, and the sheets that people look at."""
