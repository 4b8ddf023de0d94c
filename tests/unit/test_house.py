"""The rules of the house that no other tool checks, and proof that the import contracts bite."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import queuectl

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "queuectl"
PYPROJECT = (ROOT / "pyproject.toml").read_text()
CONTRACTS = [contract["name"] for contract in tomllib.loads(PYPROJECT)["tool"]["importlinter"]["contracts"]]

OFFENCES = {
    "imports point inwards": ("utils.py", "import queuectl.domain"),
    "the core needs no library": ("domain/offence.py", "import click"),
    "settings know only the domain": ("settings.py", "import queuectl.application"),
    "entrypoints reach adapters only through the container": ("entrypoints/offence.py", "import queuectl.adapters"),
    "only the container imports dependency_injector": ("entrypoints/offence.py", "import dependency_injector"),
    "only adapters.sql imports SQLAlchemy and Alembic": ("adapters/offence.py", "import alembic"),
    "siblings import in one direction": ("domain/retry.py", "import queuectl.domain.job"),
}
"""For each contract, a file and a line in it that break the contract."""


def verdicts(checkout: Path) -> dict[str, str]:
    """What import-linter says of each contract for the package in `checkout`: KEPT or BROKEN."""
    lint_imports = Path(sys.executable).with_name("lint-imports")
    report = subprocess.run([lint_imports, "--no-cache"], cwd=checkout, capture_output=True, text=True, check=False)
    found = dict(re.findall(r"^(.+) (KEPT|BROKEN)$", report.stdout, re.MULTILINE))
    assert found, report.stdout + report.stderr
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    shutil.copytree(SOURCE, tmp_path / "queuectl", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_every_import_contract_has_an_offence_that_proves_it() -> None:
    assert set(OFFENCES) == set(CONTRACTS)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_an_import_contract_is_broken_by_its_offence(checkout: Path, contract: str) -> None:
    name, line = OFFENCES[contract]
    with (checkout / "queuectl" / name).open("a") as file:
        file.write(f"\n{line}\n")
    assert verdicts(checkout)[contract] == "BROKEN"


@pytest.mark.parametrize("package", ["domain", "application"])
def test_the_core_imports_only_the_standard_library(package: str) -> None:
    imported: set[str] = set()
    for path in (SOURCE / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"queuectl"}


def test_no_module_is_named_for_having_no_topic() -> None:
    named = {path.stem for path in SOURCE.rglob("*.py")} | {path.name for path in SOURCE.rglob("*/")}
    assert not named & {"utils", "util", "common", "helpers", "misc"}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """What is written by hand, but for the migrations, which are never edited."""
    for path in SOURCE.rglob("*.py"):
        if path.name != "queries.py" and "versions" not in path.parts:
            yield path.relative_to(SOURCE), ast.parse(path.read_text())


def test_no_function_is_longer_than_a_screen() -> None:
    functions = [(path, it) for path, tree in sources() for it in ast.walk(tree) if isinstance(it, ast.FunctionDef)]
    assert [f"{path}: {it.name}" for path, it in functions if (it.end_lineno or 0) - it.lineno >= 40] == []


def test_no_constructor_takes_more_than_eight_parameters_and_no_class_keeps_more_than_twelve_attributes() -> None:
    """A record that is a plain value has as many fields as it has."""
    for path, tree in sources():
        for it in ast.walk(tree):
            if isinstance(it, ast.ClassDef):
                methods = {each.name: each.args for each in it.body if isinstance(each, ast.FunctionDef)}
                if (made := methods.get("__init__")) is not None:
                    assert len(made.args) - 1 + len(made.kwonlyargs) <= 8, f"{path}: {it.name}"
                kept = {each.attr for each in ast.walk(it) if isinstance(each, ast.Attribute) and _is_own(each)}
                assert len(kept) <= 12, f"{path}: {it.name}"


def _is_own(attribute: ast.Attribute) -> bool:
    is_stored = isinstance(attribute.ctx, ast.Store)
    return is_stored and isinstance(attribute.value, ast.Name) and attribute.value.id == "self"


def test_no_port_has_more_than_eight_methods() -> None:
    ports = [
        it for path, tree in sources() if "ports" in path.parts for it in tree.body if isinstance(it, ast.ClassDef)
    ]
    assert {"Jobs", "Work", "Runner"} <= {port.name for port in ports}
    assert [it.name for it in ports if sum(isinstance(each, ast.FunctionDef) for each in it.body) > 8] == []


def test_no_module_is_imported_by_its_name_as_text_but_by_the_container_and_the_list_of_commands() -> None:
    by_text = {
        path.as_posix()
        for path, tree in sources()
        for it in ast.walk(tree)
        if isinstance(it, ast.Attribute) and it.attr == "import_module"
    }
    assert by_text == {"container.py", "entrypoints/cli/commands.py"}


def test_make_lists_every_target() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    listed = subprocess.run(["make"], cwd=ROOT, env=quiet, capture_output=True, text=True, check=True).stdout
    assert [line.split()[1] for line in listed.splitlines()] == targets


def test_every_ruff_ignore_has_a_reason_beside_it() -> None:
    ruff = PYPROJECT[PYPROJECT.index("[tool.ruff.lint]") : PYPROJECT.index("[tool.mypy]")]
    ignores = ruff.split("\nignore = [", 1)[1]
    bare = [line for line in ignores.splitlines() if re.search(r'"[A-Z]+[0-9]*"', line) and "# " not in line]
    assert bare == []


def test_every_noqa_in_the_source_has_a_reason_beside_it() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCE.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"# noqa(: *[A-Z]+[0-9]+(, *[A-Z]+[0-9]+)*)?[\s:#-]*$", line)
    ]
    assert bare == []


def test_a_docstring_begins_with_a_verb_or_a_noun() -> None:
    """It says what something is or does; a question word makes the reader turn the sentence round."""
    question = re.compile(r'"""(What|Who|Whom|Whose|How|Whether|Which|Where|When|Why)\b.*')
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in SOURCE.rglob("*.py")
        for match in question.finditer(path.read_text())
    ]
    assert found == []


def test_no_document_installs_a_name_from_the_package_index() -> None:
    """`queuectl` is another program there, and ours is not published."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*"), ROOT / "Dockerfile"]
    documents = {path: path.read_text() for path in paths if path.is_file()}
    installed = [line for text in documents.values() for line in re.findall(r".*(?:pipx?|uv tool) install.*", text)]
    assert any("pipx install ." in line for line in installed)
    assert [line for line in installed if re.search(r"install (-\S+ )*queuectl", line)] == []


def test_what_the_documents_link_to_and_the_files_that_they_name_are_there() -> None:
    """They say where to change what: who moves a file moves its name."""
    files = [f"/{path.relative_to(ROOT)}" for top in ("src", "tests", "docs") for path in (ROOT / top).rglob("*.*")]
    files += [f"/{path.name}" for path in ROOT.iterdir()]
    missing = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        text = page.read_text()
        links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if ":" not in link]
        missing += [f"{page.name}: {link}" for link in links if not (page.parent / link).exists()]
        named = re.findall(r"`([\w/.]+\.(?:py|sql|toml|md))`", text)
        missing += [f"{page.name}: {name}" for name in named if not any(it.endswith(f"/{name}") for it in files)]
    assert missing == []


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == queuectl.__version__
