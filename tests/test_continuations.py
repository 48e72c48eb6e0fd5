"""Possible and impossible continuations of the same moment differ in what their kind says."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest

from data_prep.config import BouncingBallsConfig
from data_prep.synthetic.balls import Balls, Motion, as_json
from data_prep.synthetic.bouncing_balls import simulate
from data_prep.synthetic.continuations import Continuation, continuations

KINDS = {
    "truth",
    "alternative",
    "teleported",
    "recoloured",
    "vanished",
    "appeared",
    "passed through",
    "bounced off nothing",
    "stopped",
    "time-shifted",
}
TIME = 1.0


def video(seed: int, wall: bool = False, odds: float = 0.8) -> tuple[Motion, list[Balls]]:
    config = BouncingBallsConfig(balls=[2, 3], seconds=3.5, turn_odds=odds, wall=wall)
    return simulate(np.random.default_rng(seed), config)


def of(seed: int, wall: bool = False, odds: float = 0.8, time: float = TIME) -> list[Continuation]:
    truth = json.loads(json.dumps(as_json(*video(seed, wall, odds))))
    return list(continuations(truth, time, np.random.default_rng(seed)))


def near_ball(motion: Motion, positions: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Pixels `[height, width]` that a ball at one of the positions may colour."""
    centre = (np.arange(motion.size) + 0.5) / motion.size
    x, y = np.meshgrid(centre, centre)
    covered = np.zeros((motion.size, motion.size), bool)
    for (across, down), own in zip(positions, radius, strict=True):
        covered |= np.hypot(x - across, y - down) < own + 1.0 / motion.size
    return covered


def test_the_first_is_the_true_frame_and_every_kind_is_found() -> None:
    counted: Counter[str] = Counter()
    for seed, time in itertools.product(range(8), (0.5, 1.0, 1.5, 2.0, 2.5)):
        motion, states = video(seed)
        found = of(seed, time=time)
        after = states[round((time + 0.25) * motion.fps)]
        assert found[0].kind == "truth"
        assert found[0].possible
        assert np.array_equal(found[0].frame, motion.draw([after])[0])
        counted.update(each.kind for each in found)
    assert set(counted) == KINDS
    assert min(counted.values()) >= 3, counted


@pytest.mark.parametrize("seed", range(6))
def test_alternatives_are_the_other_outcomes(seed: int) -> None:
    motion, states = video(seed)
    outcomes, _ = motion.outcomes(states[round(TIME * motion.fps)])
    pictures = motion.draw(outcomes)
    found = [each for each in of(seed) if each.possible]
    for each in found:
        assert (pictures == each.frame).all((1, 2, 3)).any()
    assert len(found) <= len(outcomes)


@pytest.mark.parametrize("wall", [False, True])
def test_impossible_frames_are_no_outcome(wall: bool) -> None:
    for seed in range(15):
        motion, states = video(seed, wall)
        outcomes, _ = motion.outcomes(states[round(TIME * motion.fps)])
        pictures = motion.draw(outcomes).astype(float)
        for each in of(seed, wall):
            if not each.possible:
                apart = np.abs(pictures - each.frame).max((1, 2, 3))
                assert apart.min() > 20, each.kind


def test_only_the_ball_of_the_kind_differs() -> None:
    for seed in range(15):
        motion, states = video(seed)
        after = states[round((TIME + 0.25) * motion.fps)]
        found = of(seed)
        truth = found[0].frame
        differing = {
            each.kind: (each.frame != truth).any(-1)
            for each in found
            if each.kind in ("vanished", "recoloured")
        }
        balls = [
            near_ball(motion, after.position[[ball]], after.radius[[ball]])
            for ball in range(len(after.radius))
        ]
        for changed in differing.values():
            assert changed.any()
            assert any(not (changed & ~ball).any() for ball in balls)


def test_teleported_balls_are_as_far_as_their_degree_says() -> None:
    for seed in range(10):
        motion, states = video(seed)
        after = states[round((TIME + 0.25) * motion.fps)]
        found = of(seed)
        for each in found:
            if each.kind == "teleported":
                changed = (each.frame != found[0].frame).any(-1)
                rows, columns = np.nonzero(changed)
                reach = max(np.ptp(rows), np.ptp(columns)) / motion.size
                largest = after.radius.max()
                assert reach <= (each.degree + 2) * largest + 3 / motion.size


def test_without_turns_the_truth_alone_is_possible() -> None:
    for seed in range(5):
        assert [each.kind for each in of(seed, odds=0.0) if each.possible] == ["truth"]


def test_the_same_seed_gives_the_same_frames() -> None:
    for one, other in zip(of(3), of(3), strict=True):
        assert (one.kind, one.degree) == (other.kind, other.degree)
        assert np.array_equal(one.frame, other.frame)
