"""Filling a hole with what its surroundings are made of.

Narrow parts are carried on from their borders (Telea). Wide ones are put together from patches of the surroundings:
from coarse to fine, each patch of the hole looks for the most alike patch outside it (PatchMatch) and each pixel
becomes the weighed mean of what the patches over it found (Wexler). No neural network, no prompt is understood.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from work import Floats, Pixels, Refused, Work

RADIUS = 3
NARROW = 5.0
_ROUNDS_FIRST, _ROUNDS, _ROUNDS_LAST = 12, 4, 2
"""Rounds of search and vote: at the coarsest level, in between, at the finest."""
_SEARCHED_MAX = 60_000
"""Patches searched at one level, which bounds memory; beyond it a level takes over what the coarser one found."""
_OFFSETS = [(y, x) for y in range(-RADIUS, RADIUS + 1) for x in range(-RADIUS, RADIUS + 1)]


def complete(work: Work) -> Pixels:
    """Fill where MASK is white; everything else stays byte for byte."""
    if work.mask is None or work.mask.shape != work.pixels.shape[:2]:
        raise Refused("inpainting needs a mask of the picture's size")
    hole = work.mask > 127
    if not hole.any() or hole.all():
        if hole.all():
            raise Refused("the mask covers everything: nothing is left to fill it from")
        return work.pixels
    filled = cv2.inpaint(work.pixels, hole.astype(np.uint8), 5, cv2.INPAINT_TELEA)
    thick = _thick(hole)
    if thick.any():
        filled = _put_together(filled, thick, hole)
    return np.where(hole[..., None], filled, work.pixels)


def _thick(hole: np.ndarray) -> np.ndarray:
    """The connected parts of the hole that are wide somewhere."""
    deep = cv2.distanceTransform(np.pad(hole, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    _, labels = cv2.connectedComponents(hole.astype(np.uint8))
    wide = np.unique(labels[deep > NARROW])
    return np.isin(labels, wide[wide > 0])


def _put_together(start: Pixels, hole: np.ndarray, unknown: np.ndarray) -> Pixels:
    pictures, holes, unknowns = [start.astype(np.float32)], [hole], [unknown]
    while min(pictures[-1].shape[:2]) > 48 and cv2.distanceTransform(holes[-1].astype(np.uint8), cv2.DIST_L2, 3).max() > 3:
        half = tuple((side + 1) // 2 for side in holes[-1].shape[::-1])
        pictures.append(cv2.resize(pictures[-1], half, interpolation=cv2.INTER_AREA))
        holes.append(cv2.resize(holes[-1].astype(np.float32), half, interpolation=cv2.INTER_AREA) > 0.25)
        unknowns.append(cv2.resize(unknowns[-1].astype(np.float32), half, interpolation=cv2.INTER_AREA) > 0.01)
    random = np.random.default_rng(1)
    result, found = pictures[-1], None
    for level in range(len(pictures) - 1, -1, -1):
        if level < len(pictures) - 1:
            size = holes[level].shape[::-1]
            larger = cv2.resize(result, size, interpolation=cv2.INTER_CUBIC)
            result = np.where(holes[level][..., None], larger, pictures[level])
        if found is not None or level == len(pictures) - 1:
            rounds = _ROUNDS_FIRST if found is None else _ROUNDS if level else _ROUNDS_LAST
            step = _level(result, holes[level], unknowns[level], found, random, rounds)
            if step is not None:
                result, found = step
    return np.clip(result + 0.5, 0, 255).astype(np.uint8)


def _level(
    picture: Floats, hole: np.ndarray, unknown: np.ndarray, found: np.ndarray | None, random: np.random.Generator, rounds: int
) -> tuple[Floats, np.ndarray] | None:
    """Search and vote at one level. `found` is the level below's map of (row, column) per pixel; so is the answer's."""
    rows, columns = hole.shape
    kernel = np.ones((2 * RADIUS + 1,) * 2, np.uint8)
    sources = cv2.dilate((hole | unknown).astype(np.uint8), kernel) == 0
    sources[:RADIUS], sources[-RADIUS:], sources[:, :RADIUS], sources[:, -RADIUS:] = (False,) * 4
    targets = np.argwhere(cv2.dilate(hole.astype(np.uint8), kernel) > 0)
    pool = np.argwhere(sources)
    if len(pool) < 16 or (found is None and len(targets) > _SEARCHED_MAX):
        return None
    index = np.full((rows, columns), -1, np.int64)
    index[targets[:, 0], targets[:, 1]] = np.arange(len(targets))
    best, sure = _first_guess(targets, found, sources, pool, random, (rows, columns))
    cost = np.where(sure, 0, 1e9).astype(np.float32)
    if len(targets) > _SEARCHED_MAX:
        rounds, picture = 0, _vote(picture, hole, targets, best, cost)
    for _ in range(rounds):
        padded = np.pad(picture, ((RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0)), mode="edge")
        views = sliding_window_view(padded, (2 * RADIUS + 1, 2 * RADIUS + 1), axis=(0, 1))
        wanted = views[targets[:, 0], targets[:, 1]]
        best, cost = _search(views, wanted, targets, best, sources, index, random)
        picture = _vote(picture, hole, targets, best, cost)
    places = np.zeros((rows, columns, 2), np.int64)
    places[targets[:, 0], targets[:, 1]] = best
    return picture, places


def _first_guess(
    targets: np.ndarray, found: np.ndarray | None, sources: np.ndarray, pool: np.ndarray, random: np.random.Generator, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    guess, sure = pool[random.integers(len(pool), size=len(targets))], np.zeros(len(targets), np.bool_)
    if found is not None:
        coarse = np.minimum(targets // 2, np.array(found.shape[:2]) - 1)
        below = found[coarse[:, 0], coarse[:, 1]]
        taken = np.clip(below * 2 + targets % 2, 0, np.array(size) - 1)
        good = (below.sum(1) > 0) & sources[taken[:, 0], taken[:, 1]]
        guess[good], sure[good] = taken[good], True
    return guess, sure


def _search(
    views: np.ndarray, wanted: np.ndarray, targets: np.ndarray, best: np.ndarray, sources: np.ndarray, index: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Improve each target's source by its neighbours' and by random ones ever nearer."""
    limit = np.array(sources.shape) - 1
    cost = _cost(views, wanted, best)
    reach = max(sources.shape) // 2
    radii = [reach]
    while radii[-1] > 2:
        radii.append(radii[-1] // 3)
    moves: list[tuple[int, int] | int] = [(0, 1), (0, -1), (1, 0), (-1, 0), *radii, (0, 2), (0, -2), (2, 0), (-2, 0)]
    for move in moves:
        if isinstance(move, int):
            tried = best + random.integers(-max(move, 1), max(move, 1) + 1, size=best.shape)
        else:
            beside = np.clip(targets + move, 0, limit)
            of = index[beside[:, 0], beside[:, 1]]
            tried = np.where((of >= 0)[:, None], best[of] - move, best)
        tried = np.clip(tried, 0, limit)
        fits = sources[tried[:, 0], tried[:, 1]] & (tried != best).any(1)
        if fits.any():
            chosen = np.flatnonzero(fits)
            costs = _cost(views, wanted[chosen], tried[chosen])
            better = costs < cost[chosen]
            best[chosen[better]], cost[chosen[better]] = tried[chosen[better]], costs[better]
    return best, cost


def _cost(views: np.ndarray, wanted: np.ndarray, places: np.ndarray) -> np.ndarray:
    difference = (views[places[:, 0], places[:, 1]] - wanted).reshape(len(places), -1)
    return np.einsum("ij,ij->i", difference, difference)


def _vote(picture: Floats, hole: np.ndarray, targets: np.ndarray, best: np.ndarray, cost: np.ndarray) -> Floats:
    total, weights = np.zeros_like(picture), np.zeros(hole.shape, np.float32)
    scale = np.percentile(cost, 60) + 1
    weight = np.exp(-cost / (2 * scale)).astype(np.float32) + np.float32(1e-4)
    limit = np.array(hole.shape) - 1
    for offset in _OFFSETS:
        into = targets + offset
        inside = ((into >= 0) & (into <= limit)).all(1)
        to, frm, share = into[inside], (best[inside] + offset), weight[inside]
        total[to[:, 0], to[:, 1]] += picture[frm[:, 0], frm[:, 1]] * share[:, None]
        weights[to[:, 0], to[:, 1]] += share
    mean = total / np.maximum(weights, 1e-6)[..., None]
    voted = weights > 1e-5
    missed = np.where((voted & ~hole)[..., None], picture - mean, 0)
    mean += _spread(missed, (voted & ~hole).astype(np.float32))
    return np.where((hole & voted)[..., None], mean, picture)


def _spread(values: Floats, known: Floats) -> Floats:
    """Carry values from where they are known smoothly to everywhere (pull and push over a pyramid of means)."""
    if min(known.shape) <= 2:
        return np.broadcast_to(values.sum((0, 1)) / max(float(known.sum()), 1e-6), values.shape).astype(np.float32)
    half = ((known.shape[1] + 1) // 2, (known.shape[0] + 1) // 2)
    amount = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(values * known[..., None], half, interpolation=cv2.INTER_AREA)
    means = np.where(amount[..., None] > 0, sums / np.maximum(amount, 1e-6)[..., None], 0)
    coarse = _spread(means.astype(np.float32), np.minimum(amount * 4, 1))
    smooth = cv2.GaussianBlur(cv2.resize(coarse, known.shape[::-1], interpolation=cv2.INTER_LINEAR), (0, 0), 1.0)
    return np.asarray(values * known[..., None] + smooth * (1 - known)[..., None], np.float32)
