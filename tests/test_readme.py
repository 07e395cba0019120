"""No number of README.md is typed by hand, and what it names is there."""

import json
import re
from pathlib import Path

import networkx as nx
import yaml
from dvc.repo import Repo

from benchmarks.review import adapted_lines, explained_images, explanations_table, review_lines, shortcut_lines
from benchmarks.table import (
    RECIPES,
    RESULTS,
    compare_line,
    lead_lines,
    measured_lines,
    results_table,
    seeds_table,
    uncertainty_line,
)
from experiments.recipes import available, read_recipe
from tests.closure import ROOT

README = (ROOT / "README.md").read_text()


def test_results_are_those_of_the_measurements() -> None:
    assert results_table() in README


def test_the_lead_is_that_of_the_comparisons() -> None:
    assert lead_lines() in README


def test_what_uncertainty_tells_is_as_measured() -> None:
    assert uncertainty_line() in README


def test_what_compare_tells_is_as_measured() -> None:
    assert compare_line() in README


def test_the_seeds_numbers_are_those_of_the_measurements() -> None:
    assert seeds_table() in README


def test_the_numbers_are_those_of_the_recipes() -> None:
    """Of a recipe that has changed since, they would be another classifier's. Data and encoder may be others."""
    for path in RESULTS.glob("*.json"):
        recipe = path.stem.replace("crossval-", "ham10000-").replace("ham10000-best", "best")
        if recipe not in available(RECIPES):
            continue
        used, told = json.loads(path.read_text())["changes"], read_recipe(recipe, RECIPES)
        own = {key: value for key, value in told.items() if key.split(".")[0] not in ("data", "encoder")}
        assert {key: used.get(key) for key in own} == own, recipe


def test_what_intervals_sets_and_distances_hold_is_as_measured() -> None:
    assert review_lines() in README


def test_what_maps_are_worth_is_as_measured() -> None:
    assert explanations_table() in README and shortcut_lines() in README and explained_images() in README


def test_what_training_the_encoder_is_worth_is_as_measured() -> None:
    assert adapted_lines() in README


def test_speeds_are_those_of_the_measurements() -> None:
    assert measured_lines() in README


def test_make_targets_and_recipes_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", README, re.MULTILINE)) <= targets
    assert all((ROOT / "recipes" / name).is_file() for name in re.findall(r"RECIPE=([\w-]+)", README))


def test_pictures_and_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_table_of_stages_names_every_stage() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert all(f"`{name}`" in README for name in stages)


def test_the_picture_of_the_chain_is_that_of_dvc_without_edges_that_follow() -> None:
    graph = nx.DiGraph([(one.name, other.name) for other, one in Repo(str(ROOT)).index.graph.edges])
    assert set(re.findall(r"^ +(\w+) --> (\w+)$", README, flags=re.MULTILINE)) == set(
        nx.transitive_reduction(graph).edges
    )


def test_no_local_path_or_registry_is_named() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "benchmarks/results").glob("*"), ROOT / "requirements.lock"]:
        text = Path(path).read_text()
        assert not re.search(r"(^|[\s\"'=:])/(work|tmp|home|root)/", text), path
        assert "--index" not in text and "--find-links" not in text, path
