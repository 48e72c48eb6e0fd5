"""Check whether a shard set is whole, and make again what is damaged or missing."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from data_prep.config import ExecutorConfig
from data_prep.errors import InputError
from data_prep.makers import maker_of
from data_prep.shards.format import MANIFEST, SHARD_NAME, ShardSet, member_offsets
from data_prep.shards.plan import PLAN, REJECTED, SetPlan
from data_prep.shards.storage import Folder, absolute


@dataclass(frozen=True)
class Problem:
    """A file of a set, and in plain words what is wrong with it."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def find_problems(shards: ShardSet) -> list[Problem]:
    """What differs from the manifest, file by file; an empty list when the set is whole."""
    problems = []
    for shard in shards.manifest["shards"]:
        problem = _shard_problem(shards.files, shard)
        if problem is not None:
            problems.append(problem)
    ours = {MANIFEST, PLAN, REJECTED}
    for shard in shards.manifest["shards"]:
        ours |= {f"{shard['name']}.tar", f"{shard['name']}.json"}
    for name in shards.files.names():
        if name not in ours and (name.endswith(".tar") or _is_of_a_shard(name)):
            problems.append(Problem(name, "foreign: not in the manifest"))
    return problems


def require_whole(shards: ShardSet) -> None:
    """Raise InputError if a shard is missing, truncated or altered."""
    problems = [p for p in find_problems(shards) if not p.what.startswith("foreign")]
    if problems:
        raise InputError(
            f"{shards.files}/{problems[0]} ({len(problems)} shards in all); repair the set with "
            f"python -m data_prep.prepare verify {shards.files} --repair"
        )


def repair(location: str, executor: ExecutorConfig, source: str | None = None) -> ShardSet:
    """Make again what is not whole, by the maker that the plan names.

    Foreign shards are removed; other foreign files belong to the user and are kept. `source` says
    where the corpus, or the set of frames, lies now if it was moved.

    Raises:
        InputError: nothing was begun in the folder, its sources cannot be found, or they have
            changed.
    """
    folder = Folder(location)
    plan = SetPlan.read(folder)
    maker = maker_of(plan)
    if source is not None:
        if plan.source is None:
            raise InputError(f"{location}: is made from no files, so --source is not needed")
        plan = dataclasses.replace(plan, source=absolute(source))
    problems, before = [], {}
    if folder.size(MANIFEST) is not None:  # or the unfinished set is finished
        shards = ShardSet(location)
        problems = find_problems(shards)
        before = {shard["name"]: shard["sha256"] for shard in shards.manifest["shards"]}
    broken = {problem.file.rpartition(".")[0] for problem in problems} & set(plan.shards)
    maker.require_sources(plan, broken)
    for problem in problems:
        stem = problem.file.rpartition(".")[0]
        if stem in broken or _is_of_a_shard(problem.file):
            folder.remove(f"{stem}.tar")
            folder.remove(f"{stem}.json")
    made = maker.run_plan(folder, plan, executor)
    assert made is not None  # one job makes all
    for shard in made.manifest["shards"]:
        if before.get(shard["name"], shard["sha256"]) != shard["sha256"]:
            raise InputError(
                f"{folder}/{shard['name']}.tar: remade, but not as it was: its sources, or the "
                "versions of the packages that read them, have changed"
            )
    return made


def _is_of_a_shard(name: str) -> bool:
    stem, _, suffix = name.rpartition(".")
    return suffix in ("tar", "json") and SHARD_NAME.fullmatch(stem) is not None


def _shard_problem(files: Folder, shard: dict[str, Any]) -> Problem | None:
    tar, index_name = f"{shard['name']}.tar", f"{shard['name']}.json"
    size = files.size(tar)
    if size is None:
        return Problem(tar, "missing")
    if size < shard["bytes"]:
        return Problem(tar, f"truncated: {size} of {shard['bytes']} bytes")
    if size > shard["bytes"] or files.sha256(tar) != shard["sha256"]:
        return Problem(tar, _altered(files, index_name, size))
    try:
        index = json.loads(files.read(index_name))
        listed = {sample["key"]: sample["members"] for sample in index["samples"]}
        recorded = index["bytes"], index["sha256"], index["count"]
    except FileNotFoundError:
        return Problem(tar, f"its index {index_name} is missing")
    except (ValueError, KeyError, TypeError):
        return Problem(tar, f"its index {index_name} is broken")
    with files.open(tar) as file:
        held = json.loads(json.dumps(member_offsets(file)))
    expected = shard["bytes"], shard["sha256"], shard["samples"]
    if recorded != expected or held != listed or len(held) != index["count"]:
        return Problem(tar, f"its index {index_name} is altered")
    return None


def _altered(files: Folder, index_name: str, size: int) -> str:
    """What to say of an altered shard: a shard of another set matches the index beside it."""
    try:
        index = json.loads(files.read(index_name))
        if index["bytes"] == size and index["sha256"] == files.sha256(f"{index_name[:-5]}.tar"):
            return "foreign: a whole shard, but of another set"
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    return "altered: its checksum differs from the manifest"
