"""House rules that no linter checks: sizes, and words that do not belong here. A ratchet: the list of exceptions may
only shrink."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("ingest", "processors", "projections", "api", "infra", "schemas", "tests")
MODULE_LINES_MAX = 300
FUNCTION_LINES_MAX = 70
TOO_LONG: dict[str, int] = {}
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:" + "|".join(("work", "root", "home/[a-z]")) + r")/"),
    "a host of a package registry": re.compile(
        "|".join((r"pypi\.or" + "g", r"pythonhosted\.or" + "g", "repo1?\\.mave" + "n"))
    ),
    "an unfinished thought": re.compile(r"\b(?:TO" + "DO|FIX" + "ME|XX" + r"X)\b"),
    "a test that does not run": re.compile(r"pytest\.mark\.(?:skip|xfa" + r"il)|pytest\.(?:skip|xfa" + r"il)\("),
}
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".in",
    ".yaml",
    ".yml",
    ".sql",
    ".html",
    ".properties",
    ".xml",
    ".pbtxt",
    ".json",
}


def files(*suffixes: str) -> list[Path]:
    """Files of the seven folders, by path."""
    found = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")))
    return [path for path in found if path.is_file() and path.suffix in suffixes and "__pycache__" not in path.parts]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_modules_are_short() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in files(".py")}
    over = {name: size for name, size in sizes.items() if size > TOO_LONG.get(name, MODULE_LINES_MAX)}
    assert over == {}, "split these"


def test_exceptions_only_shrink() -> None:
    sizes = {name: len((ROOT / name).read_text().splitlines()) for name in TOO_LONG}
    slack = {name: size for name, size in sizes.items() if size <= MODULE_LINES_MAX - 20 or size < TOO_LONG[name] - 40}
    assert slack == {}, "lower or drop these exceptions"


def test_functions_are_short() -> None:
    over = []
    for path in files(".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    over.append(f"{name_of(path)}:{node.lineno} {node.name} has {lines} lines")
    assert over == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_words_that_do_not_belong_here(what: str) -> None:
    pattern = FORBIDDEN[what]
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:100]}"
        for path in files(*TEXT)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_every_module_of_the_product_says_what_it_is() -> None:
    silent = [
        name_of(path)
        for path in files(".py")
        if path.name != "__init__.py" and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []
