"""Balls that turn at random: what may come next is known, and kept with the clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_prep.config import BouncingBallsConfig, CorpusConfig
from data_prep.errors import InputError
from data_prep.frames import prepare_frames
from data_prep.synthetic.balls import WALL_EDGES, Balls, Motion, from_json
from data_prep.synthetic.bouncing_balls import FEW, simulate, write_bouncing_balls

OPEN = BouncingBallsConfig(
    train=3, validation=1, test=1, balls=[2, 2], seconds=3.5, turn_odds=0.9, size=32
)


def start(seed: int) -> tuple[Motion, Balls]:
    motion, states = simulate(np.random.default_rng(seed), OPEN)
    return motion, replace(states[0], colour=np.array([3, 5]))


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_the_outcomes_have_the_moments_of_many_continuations(seed: int) -> None:
    motion, balls = start(seed)
    outcomes, probabilities = motion.outcomes(balls)
    assert probabilities.sum() == pytest.approx(1)
    assert len(outcomes) == 9
    rng, frames = np.random.default_rng(7), motion.frames_between_turns + 1
    drawn = [motion.states(balls, frames, rng)[-1] for _ in range(4000)]
    pictures, sampled = motion.draw(outcomes) / 255, motion.draw(drawn) / 255
    mean = np.tensordot(probabilities, pictures, 1)
    variance = np.tensordot(probabilities, (pictures - mean) ** 2, 1)
    assert variance.max() > 0.02
    error = np.sqrt(variance / len(drawn))
    assert (np.abs(sampled.mean(0) - mean) <= 5 * error + 1e-6).all()
    assert sampled.var(0).sum() == pytest.approx(variance.sum(), rel=0.03)


def test_odds_grow_with_the_colour_and_may_be_zero() -> None:
    motion, balls = start(0)
    still = replace(balls, colour=np.array([0, 5]))
    outcomes, probabilities = motion.outcomes(still)
    assert len(outcomes) == 3  # the first ball goes straight on
    assert probabilities.max() == pytest.approx(0.45)
    assert len({tuple(later.position[0]) for later in outcomes}) == 1


def test_turning_keeps_the_speed_and_goes_to_both_sides() -> None:
    _, balls = start(0)
    left, right = balls.turned(np.array([1, 1])), balls.turned(np.array([-1, -1]))
    assert np.allclose(left.velocity, -right.velocity)
    assert np.allclose((left.velocity * balls.velocity).sum(1), 0)
    assert np.allclose(
        np.linalg.norm(left.velocity, axis=1), np.linalg.norm(balls.velocity, axis=1)
    )


def test_nothing_is_left_to_chance_without_odds() -> None:
    config = replace(OPEN, turn_odds=0.0)
    motion, states = simulate(np.random.default_rng(0), config)
    (only,), probabilities = motion.outcomes(states[0])
    assert probabilities.tolist() == [1.0]
    assert np.allclose(only.position, states[motion.frames_between_turns].position)


def test_a_wall_hides_what_is_behind_it() -> None:
    with_wall = replace(OPEN, wall=True)
    pictures = [
        motion.draw(states)
        for motion, states in (simulate(np.random.default_rng(3), c) for c in (OPEN, with_wall))
    ]
    left, right = (round(edge * OPEN.size) for edge in WALL_EDGES)
    assert (np.ptp(pictures[1][:, :, left:right], axis=(0, 1, 2)) == 0).all()
    assert (pictures[0][:, :, :left] == pictures[1][:, :, :left]).all()
    assert (pictures[0][:, :, right:] == pictures[1][:, :, right:]).all()


def test_the_truth_is_kept_with_the_clips_and_tells_what_came_next(tmp_path: Path) -> None:
    corpus = write_bouncing_balls(tmp_path / "corpus", OPEN)
    shards = prepare_frames(corpus, tmp_path / "cache", CorpusConfig(frames=8, size=32))
    for sample in shards.samples("train"):
        metadata, frames = shards.read_metadata(sample), shards.read_frames(sample) / 255
        for index, time in enumerate(metadata["times"][:-1]):
            motion, balls = from_json(metadata["truth"], time)
            outcomes, _ = motion.outcomes(balls)
            following = motion.draw(outcomes) / 255
            errors = ((following - frames[index + 1]) ** 2).mean((1, 2, 3))
            assert errors.min() < 2e-3  # what H.264 loses


def test_turns_between_frames_are_refused() -> None:
    with pytest.raises(InputError, match="turn_interval must be a whole number of frames"):
        BouncingBallsConfig(turn_odds=0.5, turn_interval=0.2)


def test_gravity_pulls_balls_down_alike() -> None:
    motion, balls = start(0)
    falling, straight = (
        Balls(np.full((2, 2), 0.5), np.zeros((2, 2)), balls.radius / 100, balls.colour).moved(8, g)
        for g in (1.0, 0.0)
    )
    fall = falling.position - straight.position
    assert np.allclose(falling.velocity, [[0, 1 / 8]] * 2)  # downwards: rows count from the top
    assert fall[:, 1] == pytest.approx(1 / 2 * (1 / 8) ** 2, rel=0.2)
    assert np.allclose(fall[:, 0], 0)
    later = replace(motion, gravity=1.0).outcomes(balls)[0]
    pairs = zip(later, motion.outcomes(balls)[0], strict=True)
    assert all((fell.position != went.position).any() for fell, went in pairs)


def test_hues_turn_and_come_back_after_a_circle() -> None:
    motion, balls = start(0)
    plain = motion.draw([balls]).astype(int)
    turned = replace(motion, hue=120.0).draw([balls]).astype(int)
    assert np.abs(turned - plain).max() > 50
    assert np.array_equal(replace(motion, hue=360.0).draw([balls]), motion.draw([balls]))


def test_radii_are_those_that_are_asked_for() -> None:
    large = replace(OPEN, radii=[0.2, 0.25])
    drawn = [Balls.drawn(np.random.default_rng(seed), large).radius for seed in range(20)]
    assert np.min(drawn) >= 0.2
    assert np.max(drawn) <= 0.25
    with pytest.raises(InputError, match="would not find room"):
        replace(OPEN, radii=[0.2, 0.3])


def test_few_videos_are_those_of_many(tmp_path: Path) -> None:
    """Few are rendered in this process, many in others."""
    config = BouncingBallsConfig(train=2, validation=1, test=1, seconds=0.5)
    pixels = 4 * config.fps * config.size**2  # of a video of half a second, twice over
    assert 2 * pixels < FEW
    few, many = (
        write_bouncing_balls(tmp_path / str(count), replace(config, train=count))
        for count in (2, FEW // (pixels // 8) + 1)
    )
    for name in ("00000.mp4", "00001.mp4", "00000.truth.json"):
        rendered = [(folder / "videos/train" / name).read_bytes() for folder in (few, many)]
        assert rendered[0] == rendered[1]
