"""Exit with status 0 if this Python has a torch of the range in pyproject.toml; `make setup` asks."""

import importlib.metadata
import re
import sys
from pathlib import Path

text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
lower, upper = re.search(r'"torch>=([\d.]+),<([\d.]+)"', text).groups()


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version.split("+")[0])]


try:
    installed = numbers(importlib.metadata.version("torch"))
except importlib.metadata.PackageNotFoundError:
    sys.exit(1)
sys.exit(not numbers(lower) <= installed < numbers(upper))
