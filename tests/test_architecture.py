import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Each room may import what stands to its left, and itself.
ROOMS = ("data_prep", "worldmodel", "denoise", "baselines", "benchmarks")


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").split(".")[0])
    return found & set(ROOMS)


def test_imports_run_one_way() -> None:
    for position, room in enumerate(ROOMS):
        files = list((ROOT / room).rglob("*.py"))
        assert files
        for path in files:
            forbidden = imported_rooms(path) - set(ROOMS[: position + 1])
            assert not forbidden, f"{path} imports {forbidden}"


def test_files_stay_readable() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 400, path
