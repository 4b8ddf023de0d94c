"""What was found, as text: tables for the terminal and docs/benchmarks.md, a chart for docs/benchmarks.svg."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.findings import Finding, digits, shown

MET = {True: "met", False: "**missed**", None: ""}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A peer as the report shows it: its version, or why it was left out."""

    name: str
    version: str
    settings: str
    measured: str
    is_here: bool


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where, when and how it was measured."""

    machine: Mapping[str, str]
    contestants: Sequence[Contestant]
    scale: str
    command: str


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"| {' | '.join('---' for _ in heads)} |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def lines_of(finding: Finding) -> list[str]:
    """The comparisons of one work."""
    rows = [(line.what, line.measured, line.target or "–", MET[line.is_met]) for line in finding.lines]
    return table(("what", "measured", "target", ""), rows)


def figures_of(finding: Finding) -> list[str]:
    """The figures behind them."""
    rows = [
        (
            figure.name,
            shown(figure.median, figure.unit),
            f"{digits(min(figure.values))} to {digits(max(figure.values))}",
            str(len(figure.values)),
        )
        for figure in finding.figures
    ]
    return table(("figure", "median", "from, to", "times"), rows)


def section(finding: Finding) -> list[str]:
    parts = [f"### {finding.title}", finding.how]
    if finding.lines:
        parts.append("\n".join(lines_of(finding)))
    if finding.figures:
        parts.append("\n".join(figures_of(finding)))
    return [*parts, *finding.notes]


def markdown(findings: Sequence[Finding], circumstances: Circumstances) -> str:
    """The whole page."""
    here = [each for each in circumstances.contestants if each.is_here]
    away = [each for each in circumstances.contestants if not each.is_here]
    parts = [
        "# Benchmarks",
        (
            "Made by `make bench`; do not edit. Figures of single runs, on machines that have other work as well, mean "
            "little: look at the ratios, whose two sides were measured in turns within one run."
        ),
        "![commands per second beside the peers](benchmarks.svg)",
        "## Targets",
        "\n".join(table(("work", "what", "measured", "target", ""), target_rows(findings))),
        summary(findings),
        "## How it was measured",
        (
            f"`{circumstances.command}` repeats it: {circumstances.scale}. `make bench BENCH_ARGS=--help` lists the "
            "options; `--quick` takes minutes, the full run about an hour. Peers are installed with pip below "
            "`benchmarks/.peers`; programs such as `tsp`, `parallel` and `redis-server` are taken from PATH. Without "
            "`QUEUECTL_TEST_POSTGRES_URL` a PostgreSQL server is started for the run, as for the tests but durable."
        ),
        "\n".join(table(("", ""), circumstances.machine.items())),
        "### Peers",
        (
            "Everybody runs the same `/bin/sh -c` command with its output captured, on the same disk; each run checks "
            "that all commands ran. A run that is cut off counts by what it did until then."
        ),
        "\n".join(
            table(
                ("peer", "version", "settings", "measured"),
                [(each.name, each.version, each.settings, each.measured) for each in here],
            )
        ),
    ]
    if away:
        parts.append("Left out:\n\n" + "\n".join(f"- {each.name}: {each.version}" for each in away))
    parts.append("## Results")
    for finding in findings:
        parts += section(finding)
    return "\n\n".join(map(wrapped, parts)) + "\n"


def wrapped(part: str) -> str:
    """A paragraph in lines of the usual length; tables, lists, headings and pictures as they are."""
    if part.startswith(("|", "#", "!", "Left out:")):
        return part
    return textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False)


def target_rows(findings: Sequence[Finding]) -> list[tuple[str, str, str, str, str]]:
    return [
        (finding.title, line.what, line.measured, line.target, MET[line.is_met])
        for finding in findings
        for line in finding.lines
        if line.target
    ]


def summary(findings: Sequence[Finding]) -> str:
    """How many targets are missed."""
    judged = [line.is_met for finding in findings for line in finding.lines if line.is_met is not None]
    return f"{judged.count(False)} of the {len(judged)} targets that were measured are missed."


# The chart.

WIDTH, LABELS, BAR, GAP, TOP = 760, 150, 20, 8, 52


def chart(findings: Sequence[Finding]) -> str:
    """Bars: how many commands a second each contestant runs, queuectl being 1."""
    shown_findings = [finding for finding in findings if finding.bars]
    height = sum(TOP + len(finding.bars) * (BAR + GAP) for finding in shown_findings) + 12
    body, y = [], 0
    for finding in shown_findings:
        body.append(_text(12, y + 24, f"{finding.title.replace('`', '')}: commands per second, queuectl = 1", "title"))
        y += TOP - 14
        longest = max(finding.bars.values())
        for name, value in sorted(finding.bars.items(), key=lambda item: -item[1]):
            width = max(1.0, value / longest * (WIDTH - LABELS - 80))
            kind = "ours" if name == "queuectl" else "theirs"
            body.append(_text(LABELS - 8, y + BAR - 5, name, "label"))
            body.append(f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{width:.0f}" height="{BAR}" rx="2"/>')
            body.append(_text(LABELS + width + 8, y + BAR - 5, f"{value:.2f}", "value"))
            y += BAR + GAP
        y += 14
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
                'aria-label="Commands per second of queuectl and its peers">'
            ),
            (
                "<style>text{font:13px sans-serif;fill:#24292f}.title{font-weight:600}.label{text-anchor:end}"
                ".ours{fill:#1f6feb}.theirs{fill:#afb8c1}rect.paper{fill:#fff}</style>"
            ),
            f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
            *body,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y}">{escape(text)}</text>'
