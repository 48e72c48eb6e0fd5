"""Places of a machine, which nothing that is shared may name."""

import re
from pathlib import Path

# A path from the root or the home on, alone or after an option or a name.
PLACE = re.compile(r"(?<![^\s=:])~?(?:/[^\s/=:]+){2,}/?")


def without_places(text: str) -> str:
    """A text without places of a machine, of which the last two parts stay."""
    return PLACE.sub(lambda place: f"path/to/{'/'.join(Path(place[0]).parts[-2:])}", text)
