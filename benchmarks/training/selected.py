"""What decides the size of other models is kept in the run: how a model runs best."""

import json
from pathlib import Path

from benchmarks.models import RunData
from benchmarks.training.plan import PlannedModel
from data_prep.errors import InputError
from data_prep.shards.storage import write_json
from worldmodel.predictor import Setting
from worldmodel.processes import Processes

FILE = "selected.json"


class Selected:
    """The steps or passes, 0 for none, that validation selected, by model: `counts`.

    Raises:
        InputError: the file in the folder of the run holds something else.
    """

    def __init__(self, run: Path):
        self._file = run / FILE
        self.counts: dict[str, int] = {}
        if self._file.is_file():
            try:
                kept = json.loads(self._file.read_text())
                self.counts = {str(name): int(count) for name, count in kept.items()}
            except (ValueError, TypeError, AttributeError):
                raise InputError(f"{self._file}: is damaged; remove it to select anew") from None

    def keep(self, name: str, count: int) -> None:
        """Note what was selected for a model, for those who continue or load the run."""
        self.counts[name] = count
        if Processes.current().first:
            write_json(self._file, self.counts)

    def setting(self, model: PlannedModel, data: RunData) -> Setting:
        """How a model runs with the steps or passes that were selected for it."""
        count = self.counts[model.name]
        settings = model.build(data).settings([count] if count else [])
        return next(setting for setting in settings if (setting.count or 0) == count)
