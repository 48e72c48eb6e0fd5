"""What may follow a moment of the balls, and what may not: frames by kind and degree.

Every frame is drawn alike and differs from the true one only in what its kind says.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data_prep.synthetic.balls import PALETTE, WALL_EDGES, Balls, Motion, from_json

TRUTH, ALTERNATIVE = "truth", "alternative"
TELEPORTED, RECOLOURED, SHIFTED = "teleported", "recoloured", "time-shifted"
VANISHED, APPEARED = "vanished", "appeared"
PASSED, BOUNCED, STOPPED = "passed through", "bounced off nothing", "stopped"

DISTANCES = (1.0, 2.0, 4.0)  # of a teleported ball, in its radii
HUES = (60.0, 120.0, 180.0)  # of a recoloured ball, in degrees
LATER = (1, 2)  # frames by which a frame comes too early
ATTEMPTS = 50  # at placing a ball
LEAST_APART = 0.025  # of an impossible ball from any possible one, in box widths


@dataclass(frozen=True)
class Continuation:
    """A frame `[height, width, 3]` in uint8 that follows the same frames as the true one.

    Args:
        kind: what happens in it.
        degree: how strongly, in the unit of the kind, 0 for kinds without degrees; or the number of
            an alternative.
        possible: whether the world allows it.
    """

    kind: str
    degree: float
    possible: bool
    frame: np.ndarray


def continuations(
    truth: dict[str, Any], time: float, rng: np.random.Generator
) -> Iterator[Continuation]:
    """The continuations of a video's moment at which balls may turn, the truth first.

    `truth` is what `as_json` has kept of the video, `time` the moment in seconds; the frames are
    those one turn interval later. Kinds that the moment does not allow are left out, such as a pass
    through a wall where no ball meets one.
    """
    moment = _Moment.of(truth, time)
    yield Continuation(TRUTH, 0, True, moment.drawn(moment.after))
    others = (one for one in moment.outcomes if not moment.agree(one, moment.after))
    for number, other in enumerate(others, 1):
        yield Continuation(ALTERNATIVE, number, True, moment.drawn(other))
    for kind, degree, balls, hues in _impossible(moment, truth, time, rng):
        yield Continuation(kind, degree, False, moment.drawn(balls, hues))


@dataclass(frozen=True)
class _Moment:
    """The balls of a video `before` and `after` one turn interval, and all that could follow.

    `turned` are the balls before the interval, after the turns that they made.
    """

    motion: Motion
    turned: Balls
    after: Balls
    outcomes: list[Balls]

    @classmethod
    def of(cls, truth: dict[str, Any], time: float) -> "_Moment":
        motion, before = from_json(truth, time)
        interval = motion.frames_between_turns / motion.fps
        _, after = from_json(truth, time + interval)
        turned, _ = motion.turns(before)
        outcomes = [motion.later(balls) for balls in turned]
        errors = [np.abs(balls.position - after.position).max() for balls in outcomes]
        return cls(motion, turned[int(np.argmin(errors))], after, outcomes)

    @property
    def interval(self) -> float:
        """The seconds from before to after."""
        return self.motion.frames_between_turns / self.motion.fps

    @property
    def straight(self) -> Balls:
        """The balls after an interval in which nothing stood in their way."""
        return self.turned.flown(self.interval, self.motion.gravity)

    @property
    def has_bounced(self) -> np.ndarray:
        """Whether each ball has met a wall or another ball: `[balls]`."""
        free = self.straight.velocity
        return ~np.isclose(self.after.velocity, free, atol=1e-6).all(1)

    @property
    def visible(self) -> np.ndarray:
        """The indices of the balls whose centre no wall hides afterwards."""
        return np.flatnonzero([self.shows(position) for position in self.after.position])

    def shows(self, position: np.ndarray) -> bool:
        """Whether a ball at a position `[2]` can be seen."""
        left, right = WALL_EDGES
        return not (self.motion.wall and left < position[0] < right)

    def drawn(self, balls: Balls, hues: np.ndarray | float = 0.0) -> np.ndarray:
        return self.motion.draw([balls], hues)[0]

    def agree(self, one: Balls, other: Balls) -> bool:
        """Whether the same balls stand so near that one picture may pass for the other."""
        apart = np.linalg.norm(one.position - other.position, axis=1)
        return bool((apart < LEAST_APART).all())

    def moved(self, ball: int, position: np.ndarray) -> Balls | None:
        """The balls afterwards, but for one at another position; None if that is possible."""
        positions = self.after.position.copy()
        positions[ball] = position
        balls = replace(self.after, position=positions)
        seen = self.shows(position)
        return balls if seen and not any(self.agree(balls, o) for o in self.outcomes) else None

    def has_room(self, position: np.ndarray, radius: float, but: int | None = None) -> bool:
        """Whether a ball fits into the box and overlaps with no other, afterwards."""
        inside = bool(((position >= radius) & (position <= 1 - radius)).all())
        others = np.arange(len(self.after.radius)) != (-1 if but is None else but)
        apart = np.linalg.norm(self.after.position[others] - position, axis=1)
        return inside and bool((apart > self.after.radius[others] + radius).all())


# A kind, its degree, the balls and the angles by which their hues are turned.
_Impossible = tuple[str, float, Balls, np.ndarray | float]


def _impossible(
    moment: _Moment, truth: dict[str, Any], time: float, rng: np.random.Generator
) -> Iterator[_Impossible]:
    visible = moment.visible
    if len(visible):
        ball = int(rng.choice(visible))
        yield from _in_another_place(moment, ball, rng)
        yield VANISHED, 0, _without(moment.after, ball), 0.0
        for hue in HUES if _saturated(moment.after.colour[ball]) else ():
            yield RECOLOURED, hue, moment.after, hue * (np.arange(len(moment.after.radius)) == ball)
    if (more := _appeared(moment, rng)) is not None:
        yield APPEARED, 0, more, 0.0
    for kind, position in (
        (PASSED, moment.straight.position),
        (STOPPED, moment.turned.position),
    ):
        affected = moment.has_bounced if kind == PASSED else np.ones(len(position), bool)
        if affected.any():
            yield from _if_impossible(moment, kind, affected, position)
    yield from _too_late(moment, truth, time)


def _in_another_place(
    moment: _Moment, ball: int, rng: np.random.Generator
) -> Iterator[_Impossible]:
    """One ball elsewhere: at a distance in radii, or thrown back though it met nothing."""
    radius, place = float(moment.after.radius[ball]), moment.after.position[ball]
    for distance in DISTANCES:
        for _ in range(ATTEMPTS):
            angle = rng.uniform(0, 2 * np.pi)
            away = place + distance * radius * np.array([np.cos(angle), np.sin(angle)])
            balls = moment.moved(ball, away) if moment.has_room(away, radius, ball) else None
            if balls is not None:
                yield TELEPORTED, distance, balls, 0.0
                break
    if not moment.has_bounced[ball]:
        start = moment.turned
        back = replace(start, velocity=-start.velocity).flown(moment.interval).position[ball]
        balls = moment.moved(ball, back) if moment.has_room(back, radius, ball) else None
        if balls is not None:
            yield BOUNCED, 0, balls, 0.0


def _if_impossible(
    moment: _Moment, kind: str, affected: np.ndarray, position: np.ndarray
) -> Iterator[_Impossible]:
    """The affected balls at other positions, if one of them is seen and no outcome has them."""
    placed = np.where(affected[:, None], position, moment.after.position)
    balls = replace(moment.after, position=placed)
    seen = any(moment.shows(each) for each in placed[affected])
    if seen and not any(moment.agree(balls, outcome) for outcome in moment.outcomes):
        yield kind, 0, balls, 0.0


def _too_late(moment: _Moment, truth: dict[str, Any], time: float) -> Iterator[_Impossible]:
    """Frames of the same video that come later than the true one."""
    last = len(truth["positions"]) - 1
    for frames in LATER:
        at = time + (1 + frames) * moment.interval
        if round(at * moment.motion.fps) <= last:
            _, balls = from_json(truth, at)
            if not any(moment.agree(balls, outcome) for outcome in moment.outcomes):
                yield SHIFTED, frames, balls, 0.0


def _without(balls: Balls, ball: int) -> Balls:
    kept = np.arange(len(balls.radius)) != ball
    return Balls(balls.position[kept], balls.velocity[kept], balls.radius[kept], balls.colour[kept])


def _appeared(moment: _Moment, rng: np.random.Generator) -> Balls | None:
    """One more ball, of a colour that no other has; None where there is no room."""
    balls = moment.after
    radius = float(balls.radius.mean())
    colour = int(rng.choice(np.setdiff1d(np.arange(len(PALETTE)), balls.colour)))
    for _ in range(ATTEMPTS):
        position = rng.uniform(radius, 1 - radius, 2)
        if moment.has_room(position, radius) and moment.shows(position):
            return Balls(
                np.concatenate([balls.position, position[None]]),
                np.concatenate([balls.velocity, np.zeros((1, 2))]),
                np.append(balls.radius, radius),
                np.append(balls.colour, colour),
            )
    return None


def _saturated(colour: int) -> bool:
    """Whether a turned hue shows in a colour of the palette; it hardly does in white."""
    return bool(np.ptp(PALETTE[colour]) > 0.1)
