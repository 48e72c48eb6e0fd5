"""The rooms, who may import whom, and what no file may name."""

import ast
import importlib.util
from pathlib import Path

import pytest

from benchmarks.tasks.registry import TASKS

ROOT = Path(__file__).parent.parent
# Each room may import what stands to its left, and itself.
ROOMS = ("data_prep", "worldmodel", "denoise", "baselines", "benchmarks")
FILES = {
    path: ast.parse(path.read_text()) for room in ROOMS for path in (ROOT / room).rglob("*.py")
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(tree: ast.AST, only_at_import: bool = False) -> set[str]:
    """Modules that a file imports; `only_at_import` without those that wait for a call."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif only_at_import and isinstance(node, ast.FunctionDef | ast.If):
            continue  # `if TYPE_CHECKING` is read by nobody who runs the program
        else:
            found |= imports_of(node, only_at_import)
    return found


def test_imports_run_one_way() -> None:
    for path, tree in FILES.items():
        room = path.relative_to(ROOT).parts[0]
        rooms = {name.split(".")[0] for name in imports_of(tree)} & set(ROOMS)
        forbidden = rooms - set(ROOMS[: ROOMS.index(room) + 1])
        assert not forbidden, f"{path} imports {forbidden}"


def test_no_files_import_one_another_in_a_circle() -> None:
    modules = {module_of(path): imports_of(tree, True) for path, tree in FILES.items()}
    graph = {name: imported & set(modules) for name, imported in modules.items()}
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in finished:
            for imported in graph[name] - {name}:
                visit(imported, (*trail, name))
            finished.add(name)

    for name in graph:
        visit(name, ())


def test_no_task_is_named_outside_its_folder_and_the_registry() -> None:
    for path, tree in FILES.items():
        inside = "tasks" in path.parts and path.name != "contract.py"
        if path.parts[-2] in TASKS or inside or "benchmarks" not in path.parts:
            continue
        texts = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        for task in TASKS:
            assert task not in texts, f"{path} names {task}"
            imported = [name for name in imports_of(tree) if f"tasks.{task}" in name]
            assert not imported, f"{path} imports {imported}"


def test_files_stay_readable() -> None:
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 400, path


@pytest.mark.parametrize("package", sorted({path.parent for path in FILES}))
def test_every_folder_is_installed(package: Path) -> None:
    named = (ROOT / "pyproject.toml").read_text()
    assert (package / "__init__.py").is_file()
    assert f'"{module_of(package)}"' in named
    assert importlib.util.find_spec(module_of(package)) is not None
