"""Taking the background away: GrabCut on the whole picture, started from the colours along its border.

It works where the subject stands apart in colour from what touches the picture's border, such as an object on a table
or before a wall; it fails on busy backgrounds, on subjects cut by the border, and on hair. No neural network.
"""

from __future__ import annotations

import cv2
import numpy as np
from work import Floats, Pixels, Refused, Work, follow_edges, luma, to_bytes

_ROUNDS = 5
_DISTANCE_MIN = 12.0
"""In units of CIE Lab as bytes: below it no colour stands apart from the border's."""
_SHARE_MIN = 0.01
_SHARE_MAX = 0.97


def cut_out(work: Work) -> Pixels:
    """The picture with alpha: 0 where the background was found."""
    share = work.learn(_subject)
    if not _SHARE_MIN < share.mean() < _SHARE_MAX:
        raise Refused("no subject stands apart from the background of this picture")
    field = work.laid_over(share)
    grown = max(1, round(max(work.size) / max(share.shape)))
    radius = max(1, min(2 * grown, work.halo // 2 - 1))
    alpha = follow_edges(field, luma(work.pixels) / np.float32(255), radius, 1e-4)
    alpha = work.inner(np.clip((alpha - np.float32(0.15)) / np.float32(0.7), 0, 1))
    return np.dstack([work.inner(work.pixels), to_bytes(alpha * 255)])


def _subject(guide: Pixels) -> Floats:
    """1 where the subject is, 0 where the background is."""
    rows, columns = guide.shape[:2]
    if min(rows, columns) < 16:
        raise Refused("the picture is too small to tell its subject from its background")
    lab = cv2.cvtColor(cv2.GaussianBlur(guide, (0, 0), 1), cv2.COLOR_RGB2LAB).astype(np.float32)
    far = _distance_to_border(lab)
    if far.max() < _DISTANCE_MIN:
        return np.zeros((rows, columns), np.float32)
    mask = np.full((rows, columns), cv2.GC_PR_BGD, np.uint8)
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    middle = np.hypot((x / columns - 0.5) / 0.5, (y / rows - 0.5) / 0.5)
    score = far * (1.25 - 0.5 * middle)
    mask[score > np.percentile(score, 55)] = cv2.GC_PR_FGD
    mask[score > np.percentile(score, 88)] = cv2.GC_FGD
    mask[score < np.percentile(score, 18)] = cv2.GC_BGD
    edge = max(2, min(rows, columns) // 60)
    mask[:edge], mask[-edge:], mask[:, :edge], mask[:, -edge:] = (cv2.GC_BGD,) * 4
    cv2.setRNGSeed(1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(guide[..., ::-1]), mask, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.GaussianBlur(_main_parts(found).astype(np.float32), (0, 0), 0.8)


def _distance_to_border(lab: Floats) -> Floats:
    """How far each pixel's colour is from the nearest of a few colours that are frequent along the border."""
    band = max(3, min(lab.shape[:2]) // 16)
    ring = np.concatenate([part.reshape(-1, 3) for part in (lab[:band], lab[-band:], lab[:, :band], lab[:, -band:])])
    cv2.setRNGSeed(1)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1.0)
    _, labels, centres = cv2.kmeans(ring, 6, None, stop, 2, cv2.KMEANS_PP_CENTERS)
    often = np.bincount(labels.ravel(), minlength=6) > 0.04 * len(ring)
    distance = np.sqrt(((lab[:, :, None] - centres[often][None, None]) ** 2).sum(-1)).min(-1)
    return np.asarray(cv2.GaussianBlur(distance, (0, 0), 2), np.float32)


def _main_parts(found: Pixels) -> Pixels:
    """Without crumbs, and without holes that a cup may have (a ring's hole stays only where it is very large)."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    found = cv2.morphologyEx(cv2.morphologyEx(found, cv2.MORPH_OPEN, kernel), cv2.MORPH_CLOSE, kernel)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found)
    if count > 1:
        largest = stats[1:, cv2.CC_STAT_AREA].max()
        kept = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= largest * 0.15]
        found = np.isin(labels, kept).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - found)
    edges = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    room = 0.35 * found.sum()
    small = [i for i in range(1, count) if i not in edges and stats[i, cv2.CC_STAT_AREA] < room]
    return np.asarray(np.where(np.isin(labels, small), 1, found), np.uint8)
