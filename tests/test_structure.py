"""The house's rules, checked against the code itself (DESIGN.md sections 1 and 2, promises 1, 5 and 6)."""

import ast
from pathlib import Path
from typing import get_args

import pytest
import yaml

from derm.heads.params import HeadParams
from derm.heads.registry import head_kind
from tests.closure import PACKAGES, ROOT, imported_files, loaded_sections, module_file, reached_files, reads_all_params

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = PIPELINE["stages"]
SOURCES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def code_dependencies(stage: dict) -> set[Path]:
    """What a stage of dvc.yaml declares as code."""
    return {Path(dep) for dep in stage["deps"] if Path(dep).parts[0] in PACKAGES}


def declared_params(stage: dict) -> set[str]:
    return {entry for entry in stage.get("params", []) if isinstance(entry, str)}


def complaints(name: str, stage: dict) -> list[str]:
    """What is wrong with a stage's declaration, as lines that say what to add to or remove from dvc.yaml."""
    script = Path(f"stages/{name}.py")
    declared, reached = code_dependencies(stage), reached_files(script)
    lines = [f"{name}: add dep {path}" for path in sorted(reached - declared)]
    lines += [f"{name}: remove dep {path}" for path in sorted(declared - reached)]
    if {"params.yaml": None} in stage.get("params", []):
        return lines + ([] if reads_all_params(script) else [f"{name}: does not read the whole of params.yaml"])
    if reads_all_params(script):
        lines.append(f"{name}: reads the whole of params.yaml: declare `params.yaml:`")
    lines += [f"{name}: add param {section}" for section in sorted(loaded_sections(script) - declared_params(stage))]
    lines += [f"{name}: remove param {section}" for section in sorted(declared_params(stage) - loaded_sections(script))]
    return lines


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_exactly_the_code_and_params_it_reaches(name: str) -> None:
    assert not complaints(name, STAGES[name])


def test_the_comparison_notices_every_kind_of_wrong_declaration() -> None:
    stage = STAGES["train_head"]
    without_loss = stage | {"deps": [dep for dep in stage["deps"] if dep != "derm/losses.py"]}
    with_images = stage | {"deps": [*stage["deps"], "derm/images.py"]}
    without_param = stage | {"params": [entry for entry in stage["params"] if entry != "loss"]}
    with_param = stage | {"params": [*stage["params"], "explain"]}
    assert complaints("train_head", without_loss) == ["train_head: add dep derm/losses.py"]
    assert complaints("train_head", with_images) == ["train_head: remove dep derm/images.py"]
    assert complaints("train_head", without_param) == ["train_head: add param loss"]
    assert complaints("train_head", with_param) == ["train_head: remove param explain"]


def test_imports_inside_functions_count() -> None:
    assert Path("derm/heads/mlp.py") in imported_files(Path("derm/heads/registry.py"))


def test_every_stage_is_written_as_the_house_wants_it() -> None:
    for name, stage in STAGES.items():
        assert stage["cmd"] == f"python -m stages.{name}"
        assert stage["desc"]
        assert stage["deps"][0] == f"stages/{name}.py"
        assert not {"always_changed", "foreach", "matrix", "plots", "wdir"} & set(stage)
        assert all(isinstance(out, str) for out in stage.get("outs", [])), f"{name}: an out with options"
        for metric in stage.get("metrics", []):
            assert list(metric.values()) == [{"cache": False}], f"{name}: a metric that git does not see"
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__", "runner"} == set(STAGES)


def test_every_section_of_params_is_read_by_a_stage_or_a_command() -> None:
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    scripts = [*(Path(f"stages/{name}.py") for name in STAGES), Path("experiments/__main__.py")]
    read = {section for script in scripts for section in loaded_sections(script)}
    assert set(sections) == read


def test_packages_have_empty_inits() -> None:
    """An `__init__.py` with code is a dependency of every module beside it: derm's has any, those import it."""
    inits = {path: (ROOT / path).read_text() for path in SOURCES if path.name == "__init__.py"}
    of_entries = {Path(package, "__init__.py") for package in PACKAGES}
    assert {path for path, text in inits.items() if text.strip()} == of_entries
    for path in of_entries - {Path("derm/__init__.py")}:
        assert inits[path].startswith("import derm ") and inits[path].count("\n") == 1


def test_arrows_run_one_way() -> None:
    for path in SOURCES:
        reached = {imported.parts[0] for imported in imported_files(path)}
        if path.parts[0] == "derm":
            assert reached <= {"derm"}, path
        if path.parts[0] == "experiments":
            assert reached <= {"derm", "experiments"}, path
        if path.parts[0] == "stages" and path.name != "track.py":
            assert reached <= {"derm", "stages"}, path


def test_no_circles() -> None:
    """Depth-first search for a module that reaches itself."""
    finished: set[Path] = set()

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        assert path not in trail, " -> ".join(str(step) for step in (*trail, path))
        if path not in finished:
            for imported in imported_files(path):
                visit(imported, (*trail, path))
            finished.add(path)

    for path in SOURCES:
        visit(path, ())


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    return names


def test_only_experiments_import_dvc_and_mlflow() -> None:
    for path in SOURCES:
        if path.parts[0] != "experiments":
            assert not {name.split(".")[0] for name in imported_names(path)} & {"dvc", "mlflow"}, path


def test_nothing_unsafe_is_imported_or_called() -> None:
    """Promise 5: no pickle, no joblib, no torch.load, no computed imports, no eval."""
    for path in SOURCES:
        assert not {name.split(".")[0] for name in imported_names(path)} & {"pickle", "joblib", "dill", "shelve"}, path
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in ("torch.load", "eval", "exec", "__import__", "importlib.import_module"), path
            if called in ("np.load", "numpy.load"):
                assert not any(word.arg == "allow_pickle" for word in node.keywords), path


def test_only_evaluate_takes_the_test_part() -> None:
    """Promise 6: no other stage selects rows of the split by the name of the test part."""
    for path in SOURCES:
        # Readers say what a source calls its test set, splits deal it out, the audit looks for it on two sides.
        if path == Path("stages/evaluate.py") or path.parts[:2] in (
            ("derm", "sources"),
            ("derm", "splits"),
            ("derm", "leakage"),
        ):
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.Compare):
                constants = {item.value for item in ast.walk(node) if isinstance(item, ast.Constant)}
                assert "test" not in constants, f"{path}:{node.lineno}"


def test_a_head_is_named_by_its_params_and_its_registry_line_alone() -> None:
    """Adding one touches its module, its line, the params and its test."""
    names = set(get_args(HeadParams.model_fields["type"].annotation))
    assert all(head_kind(name) for name in names)
    for path in SOURCES:
        if path in (Path("derm/heads/params.py"), Path("derm/heads/registry.py")):
            continue
        constants = {
            node.value for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.Constant)
        }
        assert not constants & names, path


def test_module_names_resolve() -> None:
    assert module_file("derm.losses") == Path("derm/losses.py")
    assert module_file("torch.nn") is None


def test_the_workflow_calls_targets_that_there_are() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/pipeline.yml").read_text())
    called = {step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step}
    targets = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ": $(READY)" in line}
    made = {command.removeprefix("make ") for command in called if command.startswith("make ")}
    assert made == {"test", "repro"} <= targets
