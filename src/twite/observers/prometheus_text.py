"""Prometheus' text format: write a metric, and add up the pages of several processes."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

Sample = tuple[str, Mapping[str, str], float]


def lines_of(name: str, text: str, kind: str, samples: Iterable[Sample]) -> Iterator[str]:
    """Yield the lines of a metric. A sample has a name, labels, and a value."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for sample, labels, value in samples:
        told = ",".join(f'{label}="{_escaped(labels[label])}"' for label in sorted(labels))
        yield f"{sample}{{{told}}} {_number(value)}" if told else f"{sample} {_number(value)}"


def page_of(lines: Iterable[str]) -> bytes:
    """Return a page of these lines."""
    return "".join(f"{line}\n" for line in lines).encode()


def added_up(live: Sequence[bytes], gone: Sequence[bytes] = ()) -> bytes:
    """Return one page of several.

    Counters and histograms are added; of gauges the largest value counts. Of processes that have
    `gone`, only what is added counts.
    """
    metrics: dict[str, dict[str, float]] = {}
    for page, is_live in [*((page, True) for page in live), *((page, False) for page in gone)]:
        head, values, is_gauge = "", dict[str, float](), False
        for line in page.decode().split("\n")[:-1]:
            if line.startswith("# HELP "):
                head = line
            elif line.startswith("# TYPE "):
                is_gauge = line.endswith(" gauge")
                if is_live or not is_gauge:
                    values = metrics.setdefault(f"{head}\n{line}", {})
            elif is_live or not is_gauge:
                sample, _, text = line.rpartition(" ")
                value, before = float(text), values.get(sample)
                if before is not None:
                    value = max(before, value) if is_gauge else before + value
                values[sample] = value
    return page_of(
        line
        for head, values in metrics.items()
        for line in (head, *(f"{sample} {_number(value)}" for sample, value in values.items()))
    )


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
