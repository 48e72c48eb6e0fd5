"""What a prediction costs: a frame of a rollout, and many candidates."""

import torch
from rich.console import Console

from benchmarks.measure.costs import count_flops
from benchmarks.record.results import Measurement
from benchmarks.tasks.throughput.cases import STEPS, Case, in_turn
from benchmarks.tasks.throughput.config import MeasureConfig
from benchmarks.tasks.throughput.measuring import Series, measurement
from worldmodel.predictor import Thinking
from worldmodel.reference import ReferenceEBT

TIME_TARGETS = {
    ("16 patches", 16): 6.0,
    ("16 patches", 64): 20.0,
    ("1 token a frame", 16): 1.6,
    ("1 token a frame", 64): 3.5,
}
CANDIDATES = 8


def measure_inference(config: MeasureConfig, device: str, console: Console) -> list[Measurement]:
    """Rollouts at every context, and best-of-N."""
    found = []
    for tokens in ("1 token a frame", "16 patches"):
        frame_times = []
        for context in config.contexts:
            case = Case(config.rollout_size, tokens, context, device)
            console.print(f"rollout: {case.name}", highlight=False)
            frame_time, measurements = _rollout(case, config.repeats)
            frame_times.append(frame_time)
            found += measurements
        found.append(_growth(case, config.contexts, frame_times))
    console.print("many candidates", highlight=False)
    case = Case(config.rollout_size, "16 patches", config.contexts[0], device)
    found.append(_many_candidates(case, config.repeats))
    return found


def _rollout(case: Case, repeats: int) -> tuple[Series, list[Measurement]]:
    """One new frame after a context: with the cache at hand, and all positions anew."""
    model, plain = case.ebt(), case.transformer_pp()
    clips = case.clips().frames(0, case.frames)
    naive = ReferenceEBT(model)
    known, new = clips.embeddings[:, :-1], clips.embeddings[:, -1:]
    with torch.no_grad():
        past, plain_past = model.energy.encode(known), plain.encode(known)

    def fast() -> None:
        with torch.no_grad():
            model.next_frame(model.energy.encode(new, past), clips.keys, Thinking(STEPS))

    def cached_plain() -> None:
        with torch.no_grad():
            plain.next_frame(plain.encode(new, plain_past))

    calls = {
        "fast": fast,
        "naive": lambda: naive.rollout(clips, 1, STEPS),
        "plain": cached_plain,
    }
    flops = {name: count_flops(call) for name, call in calls.items()}
    times = in_turn(calls, repeats, case.device)
    saved = flops["naive"] / flops["fast"]
    return times["fast"], [
        measurement(
            f"one frame of a rollout, {case.name}",
            "ms",
            times["fast"],
            "all positions anew",
            times["naive"],
            target=TIME_TARGETS.get((case.tokens, case.frames)),
            less_is_better=True,
        ),
        measurement(
            f"FLOPs of all positions anew over those of one frame, {case.name}",
            "times",
            Series([saved]),
            target=8 if case.frames == 16 else None,
        ),
        measurement(
            f"one frame over cached Transformer++, {case.name}",
            "times",
            Series(a / b for a, b in zip(times["fast"], times["plain"], strict=True)),
            note=f"{times['fast'].median:.1f} against {times['plain'].median:.1f} ms, "
            f"FLOP ratio {flops['fast'] / flops['plain']:.2f}",
            target=5.3,
            at_most=True,
        ),
    ]


def _growth(case: Case, contexts: list[int], times: list[Series]) -> Measurement:
    return measurement(
        f"one frame after {contexts[-1]} frames over one after {contexts[0]}, {case.size}, "
        f"{case.tokens}",
        "times",
        Series(long / short for short, long in zip(times[0], times[-1], strict=False)),
        note=f"{contexts[-1] / contexts[0]:g} times the context",
    )


def _many_candidates(case: Case, repeats: int) -> Measurement:
    model, clips = case.ebt(), case.clips()

    def best_of(candidates: int) -> None:
        with torch.no_grad():
            encoded = model.energy.encode(clips.embeddings)
            model.next_frame(encoded, clips.keys, Thinking(STEPS, candidates))

    calls = {"one": lambda: best_of(1), "many": lambda: best_of(CANDIDATES)}
    times = in_turn(calls, repeats, case.device)
    return measurement(
        f"the best of {CANDIDATES} candidates over one candidate, {case.name}",
        "times",
        Series(many / one for many, one in zip(times["many"], times["one"], strict=True)),
        note="the context is encoded once for all; the final energies are paid by the many alone",
        target=CANDIDATES,
        at_most=True,
    )
