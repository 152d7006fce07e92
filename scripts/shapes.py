"""Outlines of the drawn things: what each kind looks like, pointing up, in a unit square.

A kind is a list of parts, painted in order. A part is (tone, points): the points form a closed
polygon in [-1, 1] x [-1, 1] with y pointing down, and the tone says how it is painted: "fill" with
the thing's own colour and pattern, "dark" and "light" with a darker and a lighter plain tone of it.
No kind looks the same after a turn of less than 360 degrees, so an orientation can be read from it.
"""

import numpy as np


def arc(cx, cy, rx, ry, start, stop, steps=24):
    """Points of an ellipse's arc; angles in degrees, 0 to the right, 90 down."""
    angle = np.radians(np.linspace(start, stop, steps))
    return [(cx + rx * np.cos(a), cy + ry * np.sin(a)) for a in angle]


def disc(cx, cy, radius):
    return arc(cx, cy, radius, radius, 0, 360)


def box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def mirrored(half):
    """Closes a right half, listed from top to bottom, with its mirror image."""
    return half + [(-x, y) for x, y in reversed(half)]


def curve(function, steps=48):
    return [function(t) for t in np.linspace(0.0, 2.0 * np.pi, steps)]


def heart_point(t):
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return x / 17, -(y + 2.5) / 16


def drop_point(t):
    return 0.85 * np.sin(t) * np.sin(t / 2), -0.95 * np.cos(t)


KINDS = {
    "arrow": [("fill", mirrored([(0, -1), (0.8, -0.1), (0.32, -0.1), (0.32, 0.95)]))],
    "bell": [
        ("dark", disc(0, 0.78, 0.22)),
        ("fill", mirrored([(0.1, -1), (0.14, -0.8)] + arc(0, -0.15, 0.55, 0.65, -70, 0, 10)
                          + [(0.6, 0.3), (0.9, 0.65)])),
        ("light", box(-0.75, 0.45, 0.75, 0.62)),
    ],
    "cat": [
        ("fill", mirrored([(0, -0.45), (0.3, -0.5), (0.75, -1), (0.85, -0.2), (0.9, 0.2),
                           (0.6, 0.65), (0.2, 0.85)])),
        ("light", disc(-0.4, 0.0, 0.19)),
        ("light", disc(0.4, 0.0, 0.19)),
        ("dark", [(-0.17, 0.33), (0.17, 0.33), (0, 0.55)]),
    ],
    "crescent": [("fill", arc(0, -0.1, 0.95, 0.95, -10, 190, 30)
                  + arc(0, -0.38, 0.8, 0.75, 165, 15, 24))],
    "drop": [
        ("fill", curve(drop_point)),
        ("light", disc(-0.22, 0.42, 0.18)),
    ],
    "fish": [
        ("dark", [(0, 0.35), (0.6, 1), (0, 0.82), (-0.6, 1)]),
        ("fill", mirrored([(0, -1), (0.3, -0.75), (0.5, -0.3), (0.42, 0.15), (0.14, 0.62)])),
        ("light", disc(0.16, -0.5, 0.15)),
        ("dark", [(0.45, -0.3), (0.85, 0.2), (0.4, 0.15)]),
    ],
    "heart": [("fill", curve(heart_point))],
    "house": [
        ("fill", box(-0.68, -0.15, 0.68, 0.9)),
        ("dark", [(0, -1), (0.98, -0.1), (-0.98, -0.1)]),
        ("light", box(-0.18, 0.3, 0.24, 0.9)),
    ],
    "key": [
        ("fill", box(-0.14, -0.2, 0.14, 1)),
        ("fill", box(0.1, 0.45, 0.5, 0.62)),
        ("fill", box(0.1, 0.78, 0.5, 0.95)),
        ("fill", disc(0, -0.5, 0.5)),
        ("light", disc(0, -0.5, 0.2)),
    ],
    "mushroom": [
        ("light", mirrored([(0.25, -0.2), (0.25, 0.5), (0.4, 0.95)])),
        ("fill", arc(0, 0.05, 0.95, 1.0, 180, 360, 30)),
        ("light", disc(-0.35, -0.4, 0.16)),
        ("light", disc(0.3, -0.55, 0.18)),
    ],
    "rocket": [
        ("dark", mirrored([(0, 0.1), (0.75, 0.6), (0.75, 0.95), (0.3, 0.75)])),
        ("fill", mirrored([(0, -1), (0.28, -0.6), (0.38, -0.1), (0.3, 0.75)])),
        ("light", disc(0, -0.3, 0.2)),
        ("light", [(-0.18, 0.75), (0.18, 0.75), (0, 1.05)]),
    ],
    "tree": [
        ("dark", box(-0.15, 0.5, 0.15, 1)),
        ("fill", mirrored([(0, -1), (0.5, -0.4), (0.25, -0.4), (0.7, 0.1), (0.35, 0.1),
                           (0.85, 0.62)])),
    ],
}
