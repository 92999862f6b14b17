"""Bars of medians as SVG, on a logarithmic scale, with the spread as a line; pure, and no library for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from html import escape

from bench.statistics import Summary, shown

_LEFT, _WIDTH, _BAR, _GAP, _TITLE, _RIGHT = 150, 520, 18, 8, 34, 90
_COLOURS = {"mainstay": "#2f6f4f", "floor": "#8a8a8a", "pyinfra": "#b7652b", "ansible": "#7a3b8f", "mitogen": "#a56fb5"}
_OTHER = "#4a6fa5"


def drawing(groups: Mapping[str, Mapping[str, Summary]], unit: str = "s") -> str:
    """An SVG with one group of bars for each title; every value must be above zero.

    Raises:
        ValueError: nothing to draw.
    """
    values = [value for group in groups.values() for one in group.values() for value in (one.least, one.most)]
    if not values or min(values) <= 0:
        raise ValueError("found nothing to draw, expected values above zero")
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def x(value: float) -> float:
        return _LEFT + _WIDTH * (math.log10(value) - low) / (high - low)

    y, parts = 10.0, []
    for title, group in groups.items():
        parts.append(f'<text x="8" y="{y + 16:.0f}" font-weight="bold">{escape(title)}</text>')
        y += _TITLE - 8
        for name, one in group.items():
            parts += _bar(name, one, y, x, unit)
            y += _BAR + _GAP
        y += _GAP
    grid = [_tick(10.0**power, x(10.0**power), y, unit) for power in range(low, high + 1)]
    size = f'width="{_LEFT + _WIDTH + _RIGHT}" height="{y + 26:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *grid, *parts, "</svg>", ""])


def _bar(name: str, one: Summary, y: float, x: Callable[[float], float], unit: str) -> list[str]:
    colour = next((value for key, value in _COLOURS.items() if name.startswith(key)), _OTHER)
    middle, width = y + _BAR / 2, max(1.0, x(one.median) - _LEFT)
    return [
        f'<text x="{_LEFT - 6}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{_LEFT}" y="{y:.1f}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>',
        f'<line x1="{x(one.least):.1f}" x2="{x(one.most):.1f}" y1="{middle:.1f}" y2="{middle:.1f}" stroke="black"/>',
        f'<text x="{x(one.most) + 5:.1f}" y="{middle + 4:.1f}">{shown(one.median)} {escape(unit)}</text>',
    ]


def _tick(value: float, at: float, bottom: float, unit: str) -> str:
    line = f'<line x1="{at:.1f}" x2="{at:.1f}" y1="10" y2="{bottom:.1f}" stroke="#ddd"/>'
    return f'{line}<text x="{at:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{value:g} {escape(unit)}</text>'
