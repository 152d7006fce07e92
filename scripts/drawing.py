"""Draws one small scene: a turned, patterned thing and a few berries on a soft background."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from shapes import KINDS

SIZE = 64  # pixels
SCALE = 4  # drawn this much larger, then averaged: smooth edges
PATTERNS = ("plain", "stripes", "dots")
BERRY_RADIUS = 2.3  # pixels


def colour(hue, saturation, value):
    return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def background(rng, hue):
    """A slanted blend of two pale tones with clouds and a little grain; [SIZE, SIZE, 3] floats."""
    first = np.array(colour(hue, rng.uniform(0.1, 0.35), rng.uniform(0.75, 0.95)), float)
    second = np.array(colour(hue + rng.uniform(-0.12, 0.12), rng.uniform(0.15, 0.45),
                             rng.uniform(0.55, 0.85)), float)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1) - 0.5
    blend = 0.5 + 0.7 * (np.cos(angle) * x + np.sin(angle) * y)
    cells = int(rng.integers(4, 9))
    clouds = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8))
    clouds = np.asarray(clouds.resize((SIZE, SIZE), Image.Resampling.BICUBIC), float) / 255 - 0.5
    blend = np.clip(blend + rng.uniform(0.2, 0.7) * clouds, 0, 1)[..., None]
    return first + (second - first) * blend + rng.normal(0, 3.0, (SIZE, SIZE, 1))


def pattern_mask(rng, pattern, side):
    """Where the second colour goes: [side, side] booleans, turned independently of the thing."""
    if pattern == "plain":
        return np.zeros((side, side), bool)
    angle = rng.uniform(0, np.pi)
    period = rng.uniform(4.8, 6.2) * SCALE
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    u = (np.cos(angle) * x + np.sin(angle) * y) * np.float32(2 * np.pi / period)
    if pattern == "stripes":
        return np.cos(u) > 0.1
    v = (np.cos(angle) * y - np.sin(angle) * x) * np.float32(2 * np.pi / period)
    return np.cos(u) + np.cos(v) > 0.75


def paint_thing(canvas, rng, kind, pattern, hue, centre, degrees, radius):
    """Paints one thing; centre and radius in pixels, degrees clockwise from pointing up."""
    side = 2 * int(np.ceil((1.5 * radius + 3) * SCALE))
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    fill = colour(hue, rng.uniform(0.65, 0.95), rng.uniform(0.75, 1.0))
    second = colour(hue + rng.uniform(0.06, 0.12), 0.55, 0.55)
    tones = {"dark": colour(hue, 0.8, 0.45), "light": colour(hue + 0.05, 0.12, 1.0)}
    skin = np.where(pattern_mask(rng, pattern, side)[..., None], second, fill).astype(np.uint8)

    layer = Image.new("RGB", (side, side))
    shape = Image.new("L", (side, side))
    edge = colour(hue, 0.9, 0.25)
    pen = ImageDraw.Draw(layer)
    for tone, points in KINDS[kind]:
        xy = (np.asarray(points, float) @ turn) * (radius * SCALE) + side / 2
        xy = [tuple(p) for p in xy]
        part = Image.new("L", (side, side))
        ImageDraw.Draw(part).polygon(xy, fill=255)
        layer.paste(Image.fromarray(skin) if tone == "fill" else tones[tone], mask=part)
        pen.line(xy + xy[:2], fill=edge, width=SCALE, joint="curve")
        shape.paste(255, mask=part)
        ImageDraw.Draw(shape).line(xy + xy[:2], fill=255, width=SCALE, joint="curve")
    corner = tuple(round(c * SCALE - side / 2) for c in centre)
    shadow = shape.filter(ImageFilter.BoxBlur(SCALE)).point(lambda level: level // 3)
    canvas.paste((20, 20, 40), (corner[0] + SCALE, corner[1] + 2 * SCALE), shadow)
    canvas.paste(layer, corner, shape)


def paint_berries(canvas, rng, count, hue, centre, clearance):
    """Small discs of one colour that touch neither the thing, nor one another, nor the edge."""
    taken = []
    pen = ImageDraw.Draw(canvas)
    fill, edge, shine = colour(hue, 0.85, 0.85), colour(hue, 0.9, 0.3), colour(hue, 0.2, 1.0)
    while len(taken) < count:
        x, y = rng.uniform(BERRY_RADIUS + 1, SIZE - BERRY_RADIUS - 1, 2)
        far = np.hypot(x - centre[0], y - centre[1]) > clearance + BERRY_RADIUS + 1
        if far and all(np.hypot(x - a, y - b) > 2 * BERRY_RADIUS + 2.5 for a, b in taken):
            taken.append((x, y))
    discs = ((0, BERRY_RADIUS, edge), (0, BERRY_RADIUS - 0.7, fill), (-0.6, 0.6, shine))
    for x, y in taken:
        for shift, radius, tone in discs:
            corners = (x + shift - radius, y + shift - radius,
                       x + shift + radius, y + shift + radius)
            pen.ellipse([c * SCALE for c in corners], fill=tone)


def draw_scene(rng, kind, pattern, centre, degrees, count):
    """A SIZE x SIZE RGB image. Colours, sizes and the rest come from rng."""
    hue = rng.uniform()
    radius = rng.uniform(12.0, 14.5)
    ground = background(rng, hue + rng.uniform(0.25, 0.75))
    canvas = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    canvas = canvas.resize((SIZE * SCALE, SIZE * SCALE), Image.Resampling.BILINEAR)
    paint_berries(canvas, rng, count, hue + rng.uniform(0.2, 0.8), centre, 1.15 * radius)
    paint_thing(canvas, rng, kind, pattern, hue, centre, degrees, radius)
    return canvas.reduce(SCALE)
