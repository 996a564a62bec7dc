"""The layout law: five folders are portions of one namespace, and nobody imports across."""

import operator
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("protocol", "holder", "trainer", "operator", "deploy")
PRODUCT = sorted(path for folder in FOLDERS for path in (ROOT / folder / "blindsight").rglob("*.py"))


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("below", [".", "blindsight"])
def test_a_role_folder_is_no_package(folder, below):
    assert not (ROOT / folder / below / "__init__.py").exists()


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_portion_is_typed_and_documented(folder):
    for package in (path for path in (ROOT / folder / "blindsight").iterdir() if (path / "__init__.py").exists()):
        assert (package / "py.typed").exists(), package
        assert (package / "__init__.py").read_text().startswith('"""'), package


def test_the_operator_of_the_standard_library_is_not_shadowed():
    assert Path(operator.__file__).parent == Path(re.__file__).parents[1]


@pytest.mark.parametrize("flags", [[], ["-P"]], ids=["as usual", "safe path"])
def test_nor_is_it_when_python_starts_in_the_root(flags):
    program = "import operator; print(operator.itemgetter, operator.__file__)"
    found = subprocess.run(
        [sys.executable, *flags, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert str(ROOT) not in found


def test_the_parties_never_import_each_other():
    tool = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("role", ["blindsight.protocol", "blindsight.cli", "blindsight.holder"])
def test_importing_a_party_without_extras_loads_no_extra(role):
    program = f"import sys, {role}; print(sorted(set(sys.modules) & {{'torch', 'flwr', 'ray', 'onnx', 'onnxruntime'}}))"
    command = [sys.executable, "-P", "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["utils", "common", "helpers", "base", "manager"])
def test_no_module_has_a_name_that_says_nothing(name):
    assert name not in {path.stem for path in PRODUCT}


def test_every_module_says_what_it_is():
    assert [path for path in PRODUCT if not path.read_text().lstrip().startswith('"""')] == []


def test_the_protocol_reads_the_clock_in_one_place_only():
    readers = {
        path.name
        for path in (ROOT / "protocol" / "blindsight" / "protocol").glob("*.py")
        if re.search(r"datetime\.now|time\.time\(", path.read_text())
    }
    assert readers == {"clock.py"}
