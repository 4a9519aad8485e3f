"""The face of the portrait as points, and how the traits of a person move them. No pixels here."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Points: TypeAlias = npt.NDArray[np.float64]
"""(n, 2) x and y, in pixels of the astronaut portrait unless a docstring says otherwise"""
Traits: TypeAlias = dict[str, float]

CENTRE = np.array([225.5, 103.0])  # between the eyes
EYES = 44.0  # pixels from eye to eye: the unit of the traits


def _points(text: str) -> Points:
    return np.array([pair.split(",") for pair in text.split()], dtype=np.float64)


# dlib's 68 landmarks of the portrait: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59, inner lips 60-67
LANDMARKS = _points(
    "180,105 180.5,116 181,128 182.5,139 185,150.5 191.5,160 200,169 209,176 220.5,179 232,177.5 243,172 253,164 "
    "260.5,154.5 265,143.5 268,132 271,120.5 272,109 187,94.5 192.5,88.5 201,87 209,89 217,93 236,94 244,91 "
    "252.5,91 260.5,92.5 265.5,99 226,102.5 226,111 226,119 225.5,127 215,131.5 220,133 224.5,134.5 230,133 "
    "235,132 195.5,101.5 201,98 207,99 213,104 207,104.5 200,104 238,105.5 244,101 250.5,101 255.5,105 250.5,107 "
    "244,107 201,139.5 209.5,139.5 218,140 224,141 230,140 238,140.5 246,141 238,151.5 229,155.5 222.5,156 "
    "216.5,155 208,150 204,141 218,143.5 223.5,144.5 229.5,144 243,142 229,150 223,151 217,150"
)
FOREHEAD = _points("272,103 266,89 247,83 223,82 202,79 187,74 185,90 177,110")
HAIR = _points("170,117 157,103 154,80 162,53 190,35 207,22 233,16 263,23 283,38 295,60 301,83 297,107 285,122 275,130")
NECK = _points("186,147 187,180 213,187 237,191 253,187 258,147")
EARS = (_points("172,117 173,127 182,133 183,113"), _points("267,127 268,137 277,133 281,127"))
BEARD = np.vstack([LANDMARKS[2:15], _points("256,134 247,146 237,153 223,157 209,153 200,146 194,134")])
MOUSTACHE = np.vstack([LANDMARKS[48:55], _points("236,134 224,136 213,134")])


# Inside the functions points are in eye distances from CENTRE, x to the right and y down.


def moved_landmarks(traits: Traits) -> Points:
    points = (LANDMARKS - CENTRE) / EYES
    _move_jaw(points[:17], traits)
    _move_eye(points[36:42], points[17:22], -1, traits)
    _move_eye(points[42:48], points[22:27], 1, traits)
    points[27:36, 1] += traits["nose_length"] * np.clip(points[27:36, 1] / 0.7, 0, 1)
    _scale(points[31:36], 1 + traits["nose_width"], 1)
    _move_mouth(points[48:], traits)
    return _stretched(points, traits)


def _move_jaw(jaw: Points, traits: Traits) -> None:
    down = np.clip(jaw[:, 1] / 1.7, 0, 1)  # 0 beside the eyes, 1 at the chin
    jaw[:, 0] *= 1 + traits["jaw"] + traits["taper"] * (down - 0.3)
    jaw[:, 1] += traits["chin"] * down**1.5


def _move_eye(eye: Points, brow: Points, side: int, traits: Traits) -> None:
    _scale(eye, 1 + traits["eye_width"], 1 + traits["eye_height"], side * traits["eye_tilt"])
    _scale(brow, 1, 1, side * traits["brow_tilt"])
    eye += side * traits["eye_gap"], traits["eye_drop"]
    brow += side * traits["eye_gap"], traits["eye_drop"] + traits["brow_drop"]
    brow[:, 1] -= traits["brow_arch"] * np.array([-1, 0.5, 1, 0.5, -1])


def _move_mouth(mouth: Points, traits: Traits) -> None:
    outer, inner = mouth[:12], mouth[12:]
    outer[:, 1] += traits["mouth_open"] / 2 * (outer[:, 1] - inner[:, 1].mean())
    _scale(inner, 1, 1 + traits["mouth_open"])
    _scale(mouth, 1 + traits["mouth_width"], 1 + traits["mouth_height"])
    mouth[:, 1] -= traits["smile"] * (((mouth[:, 0] - mouth[:, 0].mean()) / 0.5) ** 2 - 0.4)
    mouth[:, 1] += traits["mouth_drop"] + traits["nose_length"] / 2 + traits["chin"] / 4


def moved_hair(traits: Traits) -> Points:
    hair = (HAIR - CENTRE) / EYES
    hair[:, 0] *= 1 + 0.7 * traits["jaw"] + traits["hair_width"]
    hair[:, 1] -= traits["hair_height"] * np.clip(-hair[:, 1] / 2, 0, 1)
    return _stretched(hair, traits)


def _stretched(points: Points, traits: Traits) -> Points:
    """Wider and lower by `aspect`, and back in pixels of the portrait."""
    wider: Points = points * np.array([1 + traits["aspect"], 1 / (1 + traits["aspect"])]) * EYES + CENTRE
    return wider


def _scale(points: Points, x: float, y: float, angle: float = 0) -> None:
    """Scale, then turn the points in place about their middle."""
    middle = points.mean(axis=0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points[:] = (points - middle) * (x, y) @ turn + middle
