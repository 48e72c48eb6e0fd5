"""Balls that bounce in a box: how they move, how they are drawn, and what may come next.

Where they turn at random their future is open: then everything that can happen to the next frame is
known, with its probability.
"""

import colorsys
import itertools
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from data_prep.config import BouncingBallsConfig

SUBSTEPS = 6
BACKGROUND = np.array([0.08, 0.09, 0.12])
WALL, WALL_EDGES = np.array([0.35, 0.36, 0.40]), (0.4, 0.6)  # colour; left and right, box widths
PALETTE = np.array(
    [
        [0.90, 0.30, 0.24],
        [0.95, 0.77, 0.20],
        [0.24, 0.75, 0.45],
        [0.25, 0.55, 0.90],
        [0.70, 0.40, 0.85],
        [0.93, 0.94, 0.95],
    ]
)


@dataclass(frozen=True)
class Balls:
    """Position and velocity `[balls, 2]` in box widths (a second), radius and colour `[balls]`.

    A colour is an index of the palette.
    """

    position: np.ndarray
    velocity: np.ndarray
    radius: np.ndarray
    colour: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator, config: BouncingBallsConfig) -> "Balls":
        """The balls at the start of a video, apart from one another."""
        count = int(rng.integers(config.balls[0], config.balls[1] + 1))
        smallest, largest = config.radii
        radius = rng.uniform(smallest, largest, count)
        position = _place_apart(rng, radius)
        angle = rng.uniform(0, 2 * np.pi, count)
        slowest, fastest = config.speeds
        speed = rng.uniform(slowest, fastest, count)
        velocity = speed[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return cls(position, velocity, radius, rng.permutation(len(PALETTE))[:count])

    def moved(self, fps: int, gravity: float = 0.0) -> "Balls":
        """The balls one frame later, after fall or straight motion, bounces and collisions."""
        position, velocity = self.position, self.velocity
        for _ in range(SUBSTEPS):
            velocity = velocity + np.array([0.0, gravity / (fps * SUBSTEPS)])
            position = position + velocity / (fps * SUBSTEPS)
            velocity = _reflect(position, velocity, self.radius)
            velocity = _collide(position, velocity, self.radius)
        return replace(self, position=position, velocity=velocity)

    def flown(self, seconds: float, gravity: float = 0.0) -> "Balls":
        """The balls some time later if nothing stood in their way."""
        fall = np.array([0.0, gravity * seconds])
        position = self.position + (self.velocity + fall / 2) * seconds
        return replace(self, position=position, velocity=self.velocity + fall)

    def turned(self, quarters: np.ndarray) -> "Balls":
        """The balls after each has turned by `quarters [balls]` right angles to the left."""
        angle = quarters * (np.pi / 2)
        cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
        across = self.velocity[:, ::-1] * np.array([-1, 1])
        return replace(self, velocity=self.velocity * cosine + across * sine)


@dataclass(frozen=True)
class Motion:
    """How the balls of a video move and look, whatever their state.

    Args:
        fps: frames per second.
        size: height and width of a frame in pixels.
        turn_odds: largest probability that a ball turns; that of a ball grows with the index of its
            colour, from 0.
        turn_interval: seconds between the moments at which balls may turn, by a right angle to the
            left or to the right.
        wall: whether a wall stands before the balls and hides what is behind it.
        gravity: downward acceleration, in box widths per second squared.
        hue: angle in degrees by which the hues of the palette are turned.
    """

    fps: int
    size: int
    turn_odds: float
    turn_interval: float
    wall: bool
    gravity: float
    hue: float

    @classmethod
    def of(cls, config: BouncingBallsConfig) -> "Motion":
        """The motion of a corpus."""
        return cls(**{each.name: getattr(config, each.name) for each in fields(cls)})

    @property
    def frames_between_turns(self) -> int:
        """The number of frames from one moment at which balls may turn to the next."""
        return round(self.turn_interval * self.fps)

    def odds(self, balls: Balls) -> np.ndarray:
        """The probability `[balls]` that each ball turns at such a moment."""
        return self.turn_odds * balls.colour / (len(PALETTE) - 1)

    def states(self, balls: Balls, frames: int, rng: np.random.Generator) -> list[Balls]:
        """The balls at each frame; where they may turn, before they do."""
        found = []
        for index in range(frames):
            found.append(balls)
            if self.turn_odds and index % self.frames_between_turns == 0:
                turns = rng.random(len(balls.radius)) < self.odds(balls)
                balls = balls.turned(turns * rng.choice([-1, 1], len(balls.radius)))
            balls = balls.moved(self.fps, self.gravity)
        return found

    def turns(self, balls: Balls) -> tuple[list[Balls], np.ndarray]:
        """All ways in which the balls can turn then, with probabilities `[outcomes]`."""
        odds, found, probabilities = self.odds(balls), [], []
        for quarters in itertools.product((0, -1, 1), repeat=len(odds)):
            turn = np.array(quarters)
            probability = float(np.where(turn == 0, 1 - odds, odds / 2).prod())
            if probability > 0:
                found.append(balls.turned(turn))
                probabilities.append(probability)
        return found, np.array(probabilities)

    def later(self, balls: Balls) -> Balls:
        """The balls one turn interval later, in which they do not turn."""
        for _ in range(self.frames_between_turns):
            balls = balls.moved(self.fps, self.gravity)
        return balls

    def outcomes(self, balls: Balls) -> tuple[list[Balls], np.ndarray]:
        """All that the balls can be one turn interval later, with probabilities `[outcomes]`.

        `balls` are at a moment at which they may turn, before they do.
        """
        turned, probabilities = self.turns(balls)
        return [self.later(each) for each in turned], probabilities

    def draw(self, states: list[Balls], hues: np.ndarray | float = 0.0) -> np.ndarray:
        """The frames of states of the same balls, uint8 `[T, height, width, 3]`.

        The hues of the balls are turned by `hues [balls]` in degrees, besides those of the palette.
        """
        positions = np.stack([balls.position for balls in states])
        looks = states[0]
        angles = np.broadcast_to(self.hue + np.asarray(hues), looks.colour.shape)
        pairs = zip(looks.colour, angles.tolist(), strict=True)
        colours = np.array([palette(angle)[index] for index, angle in pairs]).reshape(-1, 3)
        return _draw(positions, looks.radius, colours, self.size, self.wall)


def palette(hue: float) -> np.ndarray:
    """The colours of balls `[6, 3]` in [0, 1], their hues turned by an angle in degrees."""
    if hue == 0:
        return PALETTE
    turned = []
    for red, green, blue in PALETTE.tolist():
        own, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        turned.append(colorsys.hsv_to_rgb((own + hue / 360) % 1, saturation, value))
    return np.array(turned)


def as_json(motion: Motion, states: list[Balls]) -> dict[str, Any]:
    """Motion and states as JSON values: the truth about a video, from which no model learns."""
    balls = states[0]
    return {
        "motion": vars(motion),
        "radius": balls.radius.tolist(),
        "colour": balls.colour.tolist(),
        "positions": np.stack([balls.position for balls in states]).tolist(),
        "velocities": np.stack([balls.velocity for balls in states]).tolist(),
    }


def from_json(truth: dict[str, Any], time: float) -> tuple[Motion, Balls]:
    """The motion, and the balls at a time in seconds, of a video's truth."""
    motion, index = Motion(**truth["motion"]), round(time * truth["motion"]["fps"])
    position, velocity = (np.array(truth[name][index]) for name in ("positions", "velocities"))
    balls = Balls(position, velocity, np.array(truth["radius"]), np.array(truth["colour"]))
    return motion, balls


def labels_of(truth: dict[str, Any], times: list[float]) -> dict[str, int | float]:
    """What the truth of a video says of a clip with frames at these times in seconds.

    `number` of balls, `colour` of the largest (an index of the palette) and mean `speed` in box
    widths a second; where there is a wall, whether the centre of a ball is `hidden` in the last
    frame.
    """
    chosen = [round(time * truth["motion"]["fps"]) for time in times]
    velocities = np.array(truth["velocities"])[chosen]  # [T, balls, 2]
    largest = int(np.argmax(truth["radius"]))
    found: dict[str, int | float] = {
        "number": len(truth["radius"]),
        "colour": int(truth["colour"][largest]),
        "speed": float(np.linalg.norm(velocities, axis=-1).mean()),
    }
    if truth["motion"]["wall"]:
        across = np.array(truth["positions"])[chosen[-1], :, 0]
        left, right = WALL_EDGES
        found["hidden"] = int(((across > left) & (across < right)).any())
    return found


def _place_apart(rng: np.random.Generator, radius: np.ndarray) -> np.ndarray:
    while True:
        position = rng.uniform(radius[:, None], 1 - radius[:, None], (len(radius), 2))
        distance = np.linalg.norm(position[:, None] - position[None], axis=-1)
        np.fill_diagonal(distance, np.inf)
        if (distance > radius[:, None] + radius[None]).all():
            return position


def _reflect(position: np.ndarray, velocity: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Walls: a velocity that leads out of the box is turned round."""
    outward = (position < radius[:, None]) & (velocity < 0)
    outward |= (position > 1 - radius[:, None]) & (velocity > 0)
    return np.where(outward, -velocity, velocity)


def _collide(position: np.ndarray, velocity: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Elastic collisions of discs with mass proportional to their area."""
    apart = position[:, None] - position[None]  # [balls, balls, 2]
    touching = (apart**2).sum(-1) < (radius[:, None] + radius[None]) ** 2
    velocity, mass = velocity.copy(), radius**2
    for i, j in np.argwhere(np.tril(touching, -1)):
        normal = apart[i, j] / max(np.linalg.norm(apart[i, j]), 1e-9)
        approach = (velocity[i] - velocity[j]) @ normal
        if approach < 0:
            impulse = 2 * approach / (mass[i] + mass[j])
            velocity[i] -= impulse * mass[j] * normal
            velocity[j] += impulse * mass[i] * normal
    return velocity


def _draw(
    positions: np.ndarray, radius: np.ndarray, colours: np.ndarray, size: int, wall: bool
) -> np.ndarray:
    """Antialiased discs at `positions [T, balls, 2]`, as uint8 `[T, height, width, 3]`."""
    centre = (np.arange(size, dtype=np.float32) + 0.5) / size
    pictures = np.empty((3, len(positions), size, size), np.float32)  # channels first: 3x faster
    pictures[:] = BACKGROUND[:, None, None, None]
    for ball, colour in enumerate(colours):
        x, y = positions[:, ball].astype(np.float32).T  # [T]
        across, down = centre[None] - x[:, None], centre[None] - y[:, None]  # [T, size]
        distance = np.sqrt(across[:, None, :] ** 2 + down[:, :, None] ** 2)  # [T, height, width]
        coverage = np.clip((radius[ball] - distance) * size + 0.5, 0, 1)
        pictures += coverage * (colour.astype(np.float32)[:, None, None, None] - pictures)
    if wall:
        left, right = (round(edge * size) for edge in WALL_EDGES)
        pictures[:, :, :, left:right] = WALL[:, None, None, None]
    return np.ascontiguousarray((pictures * 255 + 0.5).astype(np.uint8).transpose(1, 2, 3, 0))
