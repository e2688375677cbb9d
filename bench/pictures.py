"""Draws results as SVG files that differ only where figures differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Bars", "Lines", "draw"]

_OURS = ("#d1495b", "#edae49")
_THEIRS = ("#00798c", "#7d8ca3")
_PRECISE_BELOW = 20
_INCHES = (9.0, 3.6)
_SETTINGS: Any = {
    "svg.hashsalt": "slingshot",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}


@dataclass(frozen=True)
class Bars:
    """A panel of horizontal bars, in groups.

    Attributes:
        title: What the numbers are.
        labels: One for each group, from above.
        series: By name, a number for each label; None where there is none.
        ours: Labels, or names of series, that are ours.
        logarithmic: Whether the numbers differ by orders of magnitude.
    """

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    ours: Sequence[str]
    logarithmic: bool = False

    def draw(self, axes: Any) -> None:
        """Draw into matplotlib's axes."""
        height = 0.8 / len(self.series)
        for number, (name, values) in enumerate(self.series.items()):
            places = [place + number * height for place in range(len(self.labels))]
            shown = [value or 0 for value in values]
            bars = axes.barh(places, shown, height, color=self._colours(name, number), label=name)
            texts = [_short(value) if value else "" for value in values]
            axes.bar_label(bars, texts, padding=2, fontsize=8)
        middle = height * (len(self.series) - 1) / 2
        axes.set_yticks([place + middle for place in range(len(self.labels))], self.labels)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        if self.logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(left=1)
        else:
            axes.locator_params(axis="x", nbins=5)
            axes.xaxis.set_major_formatter(_with_commas)
        axes.set_title(self.title, loc="left")
        axes.grid(axis="x", alpha=0.3)
        if len(self.series) > 1:
            axes.legend(frameon=False)

    def _colours(self, name: str, number: int) -> list[str]:
        if len(self.series) > 1:
            return [_colour(name in self.ours, number)] * len(self.labels)
        return [_colour(label in self.ours, 0) for label in self.labels]


@dataclass(frozen=True)
class Lines:
    """A panel of lines.

    Attributes:
        title: What the numbers are.
        across: What the horizontal axis is.
        series: By name, the points of a line, each with its range from smallest to largest.
        ours: Names of series that are ours.
    """

    title: str
    across: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    ours: Sequence[str]

    def draw(self, axes: Any) -> None:
        """Draw into matplotlib's axes."""
        for number, (name, points) in enumerate(self.series.items()):
            colour = _colour(name in self.ours, number)
            axes.plot(*zip(*points, strict=True), marker="o", color=colour, label=name)
        axes.set_xscale("log")
        axes.set_xticks(sorted({x for points in self.series.values() for x, _ in points}))
        axes.xaxis.set_major_formatter(_with_commas)
        axes.minorticks_off()
        axes.margins(y=0.15)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(_with_commas)
        axes.set_xlabel(self.across)
        axes.set_title(self.title, loc="left")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)


def draw(path: Path, panels: Sequence[Bars | Lines]) -> None:
    """Draw panels side by side into an SVG file."""
    import matplotlib as mpl  # only who keeps results needs it
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=_INCHES, layout="constrained")
        for number, panel in enumerate(panels, 1):
            panel.draw(figure.add_subplot(1, len(panels), number))
        figure.savefig(path, format="svg", metadata={"Date": None})


def _colour(ours: bool, number: int) -> str:
    palette = _OURS if ours else _THEIRS
    return palette[number % len(palette)]


def _with_commas(value: float, _position: int) -> str:
    return f"{value:,.0f}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= _PRECISE_BELOW else f"{value:.1f}"
