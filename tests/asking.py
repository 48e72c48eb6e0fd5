"""What can be asked of the suite: every task in every domain, and every preset."""

from benchmarks.tasks.contract import ModelTask
from benchmarks.tasks.registry import domains_of, load_task, presets_of, task_names

ASKED = [(task, domain) for task in task_names() for domain in domains_of(task)]
PRESETS = [(task, domain, p) for task, domain in ASKED for p in presets_of(load_task(task, domain))]
WITH_MODELS = [
    (task, domain, preset)
    for task, domain, preset in PRESETS
    if isinstance(load_task(task, domain), ModelTask)
]
