"""Prepare data on the command line: `python -m data_prep.prepare shards|embed|verify|inspect`.

Nothing heavy is imported before it is needed.
"""

import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from jsonargparse import Namespace

from data_prep.config import CorpusConfig, EncoderConfig, ExecutorConfig, ImagesConfig
from data_prep.errors import InputError
from data_prep.options import (
    Parser,
    config_first,
    did_you_mean,
    explain,
    run_command,
    with_underscores,
)
from data_prep.sources.registry import LAYOUTS
from data_prep.stopping import leave

PROGRAM = "python -m data_prep.prepare"
HELP = f"""\
usage: {PROGRAM} COMMAND ...

Prepare a corpus once, on one machine or many. A run can be stopped and started again.

commands:
  shards SOURCE OUT            turn videos or images into a shard set of frames
  embed SHARDS OUT             turn frames into embeddings with a frozen encoder
  verify SET [--repair]        find, and make again, damaged, missing or foreign shards
  inspect SET_OR_SHARD         show what a set or a single shard holds

examples:
  {PROGRAM} shards ~/ssv2 /data/ssv2 --frames 16 --frame-interval 0.1
  {PROGRAM} shards list.csv s3://bucket/set --num-jobs 8 --job-index 3
  {PROGRAM} embed /data/ssv2 /data/ssv2-dino --encoder timm:vit_small_patch14_dinov2.lvd142m
  {PROGRAM} verify /data/ssv2 --repair

{PROGRAM} COMMAND --help shows the options of a command.
"""
SHOWN_REJECTIONS = 20


def main(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0 if arguments else 2
    again = "run the same command again to go on"
    return run_command(lambda: _command(arguments[0], arguments[1:]), again)


def build_parser(command: str) -> Parser:
    """The parser of a command."""
    parser = Parser(prog=f"{PROGRAM} {command}", allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file of options")
    _COMMANDS[command][0](parser)
    return parser


def parse_command(name: str, arguments: list[str]) -> Namespace:
    """The options of a command.

    Raises:
        InputError: an option, key or value is wrong.
    """
    arguments = config_first([with_underscores(argument) for argument in arguments])
    parser = build_parser(name)
    try:
        return parser.parse_args(arguments)
    except InputError as error:
        files = [argument for argument in arguments if argument.endswith((".yaml", ".yml"))]
        raise InputError(explain(str(error), parser, arguments, files)) from None


def _command(name: str, arguments: list[str]) -> int:
    if name not in _COMMANDS:
        raise InputError(f"{name}: no such command; {did_you_mean(name, list(_COMMANDS))}")
    return _COMMANDS[name][1](parse_command(name, arguments))


def _shards_options(parser: Parser) -> None:
    parser.description = (
        "Turn videos or images into a shard set of frames. SOURCE is a folder, a csv, tsv or jsonl "
        "list of files (columns path, split, group, label), or the URL of either; OUT is a folder "
        "or URL."
    )
    parser.add_argument("source", help="folder or list of the corpus, or its URL")
    parser.add_argument("out", help="folder or URL of the set to be made")
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        default="auto",
        help="layout of the corpus (auto: recognised by its lists)",
    )
    parser.add_class_arguments(CorpusConfig)
    parser.add_class_arguments(ImagesConfig, "images")
    parser.add_class_arguments(ExecutorConfig)


def _shards(options: Namespace) -> int:
    from data_prep.sources.layouts import list_corpus
    from data_prep.sources.media import VIDEOS

    videos = _of(CorpusConfig, options)
    corpus = list_corpus(options.source, videos, options.source, options.layout)
    config: Any = videos
    if corpus.media != VIDEOS:
        _require_default(videos)
        config = ImagesConfig(**vars(options.images))
        corpus = list_corpus(options.source, config, options.source, "folder", corpus.media)
    from data_prep.frames import make_frames  # only now: a wrong corpus is told at once

    for line in corpus.describe():
        print(line)
    made = make_frames(corpus, options.out, config, _of(ExecutorConfig, options))
    return _report(made, options) if made is None else _report_frames(made, corpus.size)


def _require_default(videos: CorpusConfig) -> None:
    """Raise InputError if options of videos were given for images, which have their own."""
    default = CorpusConfig()
    given = [f.name for f in fields(videos) if getattr(videos, f.name) != getattr(default, f.name)]
    if given:
        names = ", ".join(f"--{name}" for name in given)
        raise InputError(f"{names}: for videos, but this is a corpus of images; use --images.*")


def _embed_options(parser: Parser) -> None:
    parser.description = "Turn a shard set of frames into a set of embeddings with the same keys."
    parser.add_argument("shards", help="folder or URL of a shard set of frames")
    parser.add_argument("out", help="folder or URL of the set of embeddings to be made")
    parser.add_argument(
        "--encoder",
        default="dct",
        help="name of the encoder: dct, pixels, timm:NAME, vae:NAME_OR_FOLDER or tae:FOLDER",
    )
    parser.add_class_arguments(EncoderConfig, skip={"name"})
    parser.add_class_arguments(ExecutorConfig)


def _embed(options: Namespace) -> int:
    config = _of(EncoderConfig, options, name=options.encoder)
    from data_prep.shards.format import ShardSet

    frames = ShardSet(options.shards)
    from data_prep.embed import make_embeddings  # only now: a wrong set is told at once

    made = make_embeddings(frames, options.out, config, _of(ExecutorConfig, options))
    return _report(made, options)


def _verify_options(parser: Parser) -> None:
    parser.description = "Check every shard of a set against its manifest."
    parser.add_argument("set", help="folder or URL of a shard set")
    parser.add_argument("--repair", action="store_true", help="make again what is not whole")
    parser.add_argument(
        "--source",
        type=str | None,
        help="place of the corpus or set of frames now, if it was moved",
    )
    parser.add_class_arguments(ExecutorConfig, skip={"num_jobs", "job_index"})


def _verify(options: Namespace) -> int:
    from data_prep.shards.format import ShardSet
    from data_prep.verify import find_problems, repair

    if options.repair:
        executor = _of(ExecutorConfig, options, num_jobs=1, job_index=0)
        shards = repair(options.set, executor, options.source)
    else:
        shards = ShardSet(options.set)
    problems = find_problems(shards)
    for problem in problems:
        print(problem)
    if problems:
        print(
            f"{len(problems)} problems; repair them with {PROGRAM} verify {options.set} --repair",
            file=sys.stderr,
        )
        return 1
    print(f"whole: {_counts(shards)}")
    return 0


def _inspect_options(parser: Parser) -> None:
    parser.description = "Show what a shard set, or a single shard, holds."
    parser.add_argument("set", help="folder or URL of a shard set, or of one of its .tar files")
    parser.add_argument(
        "--allow_pipe",
        action="store_true",
        help="allow pipe:COMMAND, which runs a command to read a shard",
    )


def _inspect(options: Namespace) -> int:
    import yaml

    from data_prep.shards.format import ShardSet

    if options.set.endswith(".tar") or options.set.startswith("pipe:"):
        from data_prep.shards.stream import describe_clip, open_shard, read_tar

        with open_shard(options.set, options.allow_pipe) as file:
            for key, members in read_tar(file, options.set):
                sizes = {suffix: len(data) for suffix, data in members.items()}
                print(f"{key}: {sizes} {describe_clip(members)}")
        return 0
    shards = ShardSet(options.set)
    shown = {k: v for k, v in shards.manifest.items() if k not in ("shards", "statistics")}
    shown["rejected"] = len(shards.manifest["rejected"])
    shown["shards"] = len(shards.manifest["shards"])
    shown["bytes"] = sum(shard["bytes"] for shard in shards.manifest["shards"])
    print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), end="")
    return 0


def _report_frames(made: Any, files: int) -> int:
    """Print what became of every source.

    Raises:
        InputError: none of them could be read.
    """
    rejected = made.manifest["rejected"]
    for entry in rejected[:SHOWN_REJECTIONS]:
        print(f"rejected {entry['source']}: {entry['reason']}")
    if len(rejected) > SHOWN_REJECTIONS:
        print(f"... {len(rejected) - SHOWN_REJECTIONS} more in {made.files}/rejected.jsonl")
    if not any(made.manifest["samples"].values()):
        raise InputError(
            f"{made.files}: nothing readable in {files} files; the reasons are in rejected.jsonl"
        )
    print(f"{made.files}: {_counts(made)}, {len(rejected)} of {files} files rejected")
    for split, count in made.manifest["samples"].items():
        if count == 0:
            print(f"note: the {split} split is empty", file=sys.stderr)
    return 0


def _report(made: Any, options: Namespace) -> int:
    if made is None:
        print(
            f"job {options.job_index} of {options.num_jobs} is done; the job that ends last "
            "finishes the set"
        )
    else:
        print(f"{made.files}: {_counts(made)}")
    return 0


def _counts(shards: Any) -> str:
    samples = shards.manifest["samples"]
    splits = ", ".join(f"{split} {count}" for split, count in samples.items())
    return f"{sum(samples.values())} clips ({splits}) in {len(shards.manifest['shards'])} shards"


def _of(config: type, options: Namespace, **given: Any) -> Any:
    """A configuration filled from the options with the names of its fields."""
    names = [field.name for field in fields(config) if field.name not in given]
    return config(**given, **{name: options[name] for name in names})


_COMMANDS: dict[str, tuple[Callable[[Parser], None], Callable[[Namespace], int]]] = {
    "shards": (_shards_options, _shards),
    "embed": (_embed_options, _embed),
    "verify": (_verify_options, _verify),
    "inspect": (_inspect_options, _inspect),
}

if __name__ == "__main__":
    leave(main(sys.argv[1:]))
