"""The rooms, who may import whom, and what no file may name."""

import ast
import importlib.util
from pathlib import Path

import pytest

from benchmarks.domains.registry import DOMAINS
from benchmarks.tasks.registry import TASKS

ROOT = Path(__file__).parent.parent
# Each room may import what stands to its left, and itself.
ROOMS = ("data_prep", "worldmodel", "denoise", "baselines", "benchmarks")
# Inside benchmarks a module may import what stands before it or beside it.
ORDER = [
    ["config", "models", "progress", "former_names"],
    ["record"],
    ["measure"],
    ["reporting"],
    ["training"],
    ["domains"],
    ["tasks"],
    ["cli", "run"],
    ["api"],
]
LAYERS = {name: layer for layer, names in enumerate(ORDER) for name in names}
FILES = {
    path: ast.parse(path.read_text()) for room in ROOMS for path in (ROOT / room).rglob("*.py")
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(tree: ast.AST) -> set[str]:
    """Modules that a file imports, inside functions too; not those that only types need."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        else:
            found |= imports_of(node)
    return found


def test_imports_run_one_way() -> None:
    for path, tree in FILES.items():
        room = path.relative_to(ROOT).parts[0]
        rooms = {name.split(".")[0] for name in imports_of(tree)} & set(ROOMS)
        forbidden = rooms - set(ROOMS[: ROOMS.index(room) + 1])
        assert not forbidden, f"{path} imports {forbidden}"


def test_imports_inside_benchmarks_run_one_way() -> None:
    for path, tree in FILES.items():
        place = path.relative_to(ROOT).parts
        if place[0] != "benchmarks" or path.name == "__init__.py":
            continue
        own = LAYERS[path.stem if len(place) == 2 else place[1]]
        for name in imports_of(tree):
            parts = name.split(".")
            if parts[0] == "benchmarks" and len(parts) > 1:
                assert LAYERS[parts[1]] <= own, f"{path} imports {name}"


def test_no_files_import_one_another_in_a_circle() -> None:
    modules = {module_of(path): imports_of(tree) for path, tree in FILES.items()}
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


@pytest.mark.parametrize(("names", "room"), [(DOMAINS, "domains"), (TASKS, "tasks")])
def test_none_is_imported_outside_its_folder_and_the_registry(names: list[str], room: str) -> None:
    """Neither a domain by a task, nor a task by a domain, nor either by what serves them all."""
    for path, tree in FILES.items():
        place = path.relative_to(ROOT).parts
        if place[0] != "benchmarks" or path.name == "registry.py":
            continue
        for name in names:
            if place[1:3] == (room, name):
                continue
            imported = [found for found in imports_of(tree) if f"{room}.{name}" in found]
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
