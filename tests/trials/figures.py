"""The measurements of trials, as a table for docs/trials."""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

NUMBER = re.compile(r"\b\d[\d,]*\b")


def table(lines: Iterable[str]) -> str:
    """Return a Markdown table with one row for each promise.

    Figures that differ only in whole numbers belong to one trial, and these numbers are added up.
    """
    figures: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        noted = json.loads(line)
        figures[noted["promise"]].append(noted["figure"])
    rows = [f"| {promise} | {added_up(found)} |" for promise, found in sorted(figures.items())]
    return "\n".join(["| promise | figure |", "|---|---|", *rows])


def added_up(found: list[str]) -> str:
    words, *others = {NUMBER.sub("{}", figure) for figure in found}
    if others:
        return "; ".join(found)
    shares = [[int(number.replace(",", "")) for number in NUMBER.findall(line)] for line in found]
    return words.format(*(f"{sum(column):,}" for column in zip(*shares, strict=True)))


if __name__ == "__main__":
    noted = Path(sys.argv[1])
    print(table(noted.read_text(encoding="utf-8").splitlines()) if noted.exists() else "no figures")
