"""Read shards from front to end through webdataset: to embed, check and inspect them."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any, BinaryIO

import webdataset.tariterators
from webdataset.gopen import gopen

from data_prep.errors import InputError
from data_prep.shards.format import EMBEDDINGS, FRAMES, METADATA, SampleReference, ShardSet
from data_prep.shards.storage import Folder, is_url

MEMBERS = frozenset((FRAMES, EMBEDDINGS, METADATA))


def stream_shard(shards: ShardSet, name: str) -> Iterator[tuple[SampleReference, dict[str, bytes]]]:
    """The clips of a shard in order: where each lies, and its members' bytes by suffix.

    Raises:
        InputError: the shard is not what its index says.
    """
    place = f"{shards.files}/{name}.tar"
    expected = iter(shards.shard_samples(name))
    with closing(shards.files.open(f"{name}.tar")) as file:
        for key, members in read_tar(file, place):
            reference = next(expected, None)
            if reference is None or reference.key != key:
                raise InputError(f"{place}: clip {key} is not in the index; repair the set")
            yield reference, members
    if next(expected, None) is not None:
        raise InputError(f"{place}: ends early; repair the set")


def read_tar(file: BinaryIO, place: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Keys and members of a webdataset tar; only members that a shard of ours may have.

    Nothing is extracted, unpickled or run: the bytes are handed on.

    Raises:
        InputError: another member, or a broken tar.
    """
    streams = [{"url": place, "stream": file}]
    files = webdataset.tariterators.tar_file_expander(streams)
    samples = iter(webdataset.tariterators.group_by_keys(files, lcase=False))
    while True:
        try:
            sample: dict[str, Any] | None = next(samples, None)
        except Exception as error:  # whatever tarfile and webdataset make of foreign bytes
            raise InputError(f"{place}: not a shard ({error.args[0]})") from None
        if sample is None:
            return
        members = {suffix: data for suffix, data in sample.items() if not suffix.startswith("__")}
        foreign = members.keys() - MEMBERS
        if foreign:
            raise InputError(
                f"{place}: clip {sample['__key__']!r} has a member .{min(foreign)}, which no "
                "shard of ours has; nothing of it was read"
            )
        yield sample["__key__"], members


def open_shard(location: str, allow_pipe: bool = False) -> BinaryIO:
    """A shard to read from front to end: a path, a URL or, if allowed, a `pipe:` command.

    Raises:
        InputError: a `pipe:` that was not allowed, or a location that cannot be read.
    """
    if location.startswith("pipe:") and allow_pipe:
        stream: BinaryIO = gopen(location, "rb")
        return stream
    is_url(location)  # refuses what it must not be
    root, _, name = location.rpartition("/")
    try:
        return Folder(root or ".").open(name)
    except FileNotFoundError:
        raise InputError(f"{location}: no such file") from None


def describe_clip(members: dict[str, bytes]) -> dict[str, Any]:
    """What a clip's metadata says.

    Raises:
        InputError: it has none.
    """
    try:
        described: dict[str, Any] = json.loads(members[METADATA])
    except (KeyError, ValueError) as error:
        raise InputError(f"a clip without metadata ({error})") from None
    return described
