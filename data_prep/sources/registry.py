"""The layouts of corpora by name; an official one is imported when it is first looked for.

A new official layout is one file that defines a `LAYOUT` and one line here. Imports nothing heavy:
the help of the command line shows these names.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_prep.sources.official import OfficialLayout

# Looked for in this order.
OFFICIAL = {
    "ssv2": "data_prep.sources.ssv2",
    "ucf101": "data_prep.sources.ucf101",
    "kinetics": "data_prep.sources.kinetics",
    "mmaction": "data_prep.sources.mmaction",
}
# What is a video besides video files. A new format is one file with a `NOUN` and a function
# `detect`, and one line here.
FORMATS = {
    "arrays": "data_prep.sources.arrays",
    "frame folders": "data_prep.sources.frame_folders",
    "animated images": "data_prep.sources.animated",
}
KTH = "kth"  # has no lists: the names of its videos tell their persons
LAYOUTS = ("auto", "folder", *OFFICIAL, KTH)


def official_layout(name: str) -> "OfficialLayout":
    """The official layout of that name, a key of `OFFICIAL`."""
    layout: OfficialLayout = importlib.import_module(OFFICIAL[name]).LAYOUT
    return layout
