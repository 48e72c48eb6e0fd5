"""Numbers in sentences of README and docs, each with the kept result that it comes from.

Behind a number, or a number with its interval, stands a comment that no rendered page shows:

    it loses by 0.52 dB [0.34, 0.70]<!-- = next_frame_balls: ebt - transformer_pp; test, rollout -->

After the name of the kept result comes what is cited. `A - B` is the paired difference of two
models and `MODEL` the PSNR of one, at selected settings; `MODEL METRIC` is another metric, and
`MODEL METRIC @ SETTING` that at a setting. Then comes the condition. Of sweeps there are `exponent
MODEL; VARIANT`, `ratio; VARIANT`, `ratio; VARIANT without VALUE`, `loss MODEL; VARIANT, VALUE`, of
probes `MODEL PROBE; LABEL`. A number that no run measured, such as a setting, is marked `<!-- given
-->`.

A difference without a sign is read with the word that says its direction, the next one before the
next number or else the last one of its sentence: in `A - B`, A is what is said to be `below` or
`above`, `better` or `worse`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.former_names import METRICS
from benchmarks.record.results import Metric, Model, Result, Row
from benchmarks.record.selection_metric import quality_of
from benchmarks.reporting.tables import find_comparison, rows_under, selected_row
from benchmarks.tasks.registry import load_task
from data_prep.errors import InputError

NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?"
CITED = re.compile(
    rf"(?P<mean>{NUMBER})(?:\s+(?:dB|times))?(?:\s+\[(?P<low>{NUMBER}),\s+(?P<high>{NUMBER})\])?"
    r"(?:\s+(?:dB|times))?<!-- = (?P<name>[\w-]+): (?P<what>[^;>]+?)(?:; (?P<where>[^>]+?))? -->"
)
# What stands in a document but is no sentence, and numbers that are names.
NO_SENTENCE = re.compile(
    r"<!-- table:.*?<!-- end of table -->|```.*?```|`[^`\n]*`|\]\([^)]*\)|arXiv [\d.]+"
    r"|Python [\d.]+"
    rf"|[Ll]evels? (?:up to )?(?:{NUMBER}(?:, | and | to )?)+|{NUMBER}(?: dB)?<!-- given -->",
    re.DOTALL,
)
# Words for the sign of a difference, and words for who is ahead in it.
SIGNS = {"above": 1, "higher": 1, "below": -1, "lower": -1}
RANKS = {"better": 1, "gains": 1, "worse": -1, "loses": -1}
DIRECTION = re.compile(rf"\b({'|'.join([*SIGNS, *RANKS])})\b")
# A full stop or question mark, which ends no number, or the end of an entry or a paragraph.
END = re.compile(r"[.?](?=[\s*]|$)|\n\s*(?:[-*#|]|\n)")


@dataclass(frozen=True)
class Number:
    """A number as it was measured, with its interval where it has one."""

    mean: float
    low: float | None = None
    high: float | None = None


def faults(document: str, result_of: Callable[[str], Result]) -> Iterator[str]:
    """What is wrong with the numbers in a document's sentences, a line each."""
    for match in CITED.finditer(document):
        try:
            found = _look_up(result_of(match["name"]), match["what"], match["where"] or "")
        except InputError as error:
            yield f"{match[0]}: {error}"
            continue
        pairs = [("mean", found.mean), ("low", found.low), ("high", found.high)]
        said = [match[key] for key, _ in pairs]
        unsigned = " - " in match["what"] and not said[0].startswith(("+", "-"))
        if unsigned:
            yield from _wrong_direction(document, match, found, result_of(match["name"]))
        if unsigned and found.mean < 0:  # a loss by so much
            ends = [None if end is None else -end for end in (found.high, found.low)]
            pairs = [("mean", -found.mean), ("low", ends[0]), ("high", ends[1])]
        for text, (key, value) in zip(said, pairs, strict=True):
            if text is not None and (value is None or not _same(text, value)):
                yield f"{match[0]}: {key} is {'not known' if value is None else f'{value:.4g}'}"
    bare = NO_SENTENCE.sub("", CITED.sub("", document))
    for line in bare.splitlines():
        if not line.startswith("|"):
            for number in re.findall(r"(?<![\w-])[-+]?\d[\d,]*\.\d+", line):
                yield f"{number} in {line.strip()!r}: cites no result"


def _wrong_direction(
    document: str, match: re.Match[str], found: Number, result: Result
) -> Iterator[str]:
    """Whether the word beside an unsigned difference says another direction than it has."""
    word = _direction(document, match)
    if word is None:
        return
    ahead = 1 if quality_of(result).higher else -1
    sign = SIGNS[word] if word in SIGNS else RANKS[word] * ahead
    if found.mean * sign < 0:
        yield f"{match[0]}: {match['what']} is {found.mean:+.4g}, the sentence says {word}"


def _direction(document: str, match: re.Match[str]) -> str | None:
    """The next word for a direction before the next number, or the last one of the sentence."""
    following = CITED.search(document, match.end())
    after = END.split(document[match.end() : following.start() if following else None], 1)[0]
    if found := DIRECTION.search(after):
        return found[1]
    before = END.split(CITED.sub("", document[: match.start()]))[-1]
    words = DIRECTION.findall(before)
    return words[-1] if words else None


def _same(text: str, value: float) -> bool:
    """Whether a number in a text is a value, rounded as the text rounds."""
    digits = len(text.partition(".")[2])
    written = float(text.replace(",", ""))
    return abs(written - value) <= 0.5001 * 10**-digits


def _look_up(result: Result, what: str, where: str) -> Number:
    first, _, rest = what.partition(" ")
    if not result.models:
        return _of(load_task(result.task, result.domain).cited(result, first, rest, where))
    condition = _condition(result, where)
    if " - " in what:
        a, b = what.split(" - ")
        return _difference(result, a, b, condition)
    cited, _, setting = what.partition(" @ ")
    name, _, metric = cited.partition(" ")
    row = _row(_model(result, name), condition, setting)
    found = row.metrics.get(METRICS.get(metric, metric) or quality_of(result).metric)
    if found is None:
        raise InputError(f"{name} has no {metric} there")
    return _of(found)


def _difference(result: Result, a: str, b: str, condition: dict[str, str]) -> Number:
    found = find_comparison(result, a, b, condition)
    if found is not None:
        return Number(found.difference, found.low, found.high)
    found = find_comparison(result, b, a, condition)
    if found is not None:
        ends = (found.high, found.low)
        low, high = (None if end is None else -end for end in ends)
        return Number(-found.difference, low, high)
    metric = quality_of(result).metric
    rows = [_row(_model(result, name), condition, "") for name in (a, b)]
    return Number(rows[0].metrics[metric].mean - rows[1].metrics[metric].mean)


def _of(metric: Metric) -> Number:
    return Number(metric.mean, metric.low, metric.high)


def _condition(result: Result, where: str) -> dict[str, str]:
    for model in result.models:
        for row in model.rows:
            if ", ".join(row.condition.values()) == where:
                return row.condition
    raise InputError(f"nothing was judged under {where!r}")


def _model(result: Result, name: str) -> Model:
    for model in (*result.models, *result.references):
        if model.name == name:
            return model
    raise InputError(f"no model {name}")


def _row(model: Model, condition: dict[str, str], setting: str) -> Row:
    if not setting:
        row = selected_row(model, condition)
    else:
        rows = rows_under(model, condition)
        row = next((row for row in rows if row.setting.label == setting), None)
    if row is None:
        raise InputError(f"{model.name} was not judged there{f' at {setting}' * bool(setting)}")
    return row
