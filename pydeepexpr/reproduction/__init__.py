"""The papers' tables and figures by one command, from the people and characters at hand."""
