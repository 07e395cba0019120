"""What MLflow's page of runs shows first: of hundreds of columns and charts the few that a choice is made by.

MLflow keeps a saved view as a tag of the experiment: name, times, and the state of the page as JSON
(https://mlflow.org/releases/3.15.0, "Shareable table views"; the keys are those that MLflow 3.17.2 writes itself).
"""

import base64
import time
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from derm.files import canonical_json
from experiments.delivery import COMPLETE
from experiments.describe import HEADLINES
from experiments.differing_params import names_that_differ
from experiments.scored import search
from experiments.store import Store, StoreUnavailableError, reason, shown, store_uri

if TYPE_CHECKING:
    from mlflow.entities import Run

TAG = "mlflow.sharedViewState."
IDENTITY = "derm-headline"
NAME = "Headline numbers on val"
CURVES = ("val_loss", "val_balanced_accuracy", "train_loss", "learning_rate")
"""Of the learning curves these come first."""
_MOST_PARAMS = 12
_RUNS_IN_A_CHART = 20


def write_view(store: Store, experiment: str) -> str:
    """Write the view of an experiment's runs as they are now; returns the address of its page, without the server.

    Columns are the params in which the runs differ and the headline metrics on val, best first; charts are these
    metrics and the learning curves. StoreUnavailableError if the store refuses.
    """
    from mlflow.entities import ViewType
    from mlflow.exceptions import MlflowException

    number = store.experiments[experiment]
    now = int(time.time() * 1000)
    try:
        runs = list(search(store, [number], f"tags.`{COMPLETE}` = 'true'", ViewType.ACTIVE_ONLY))
        # Packed as MLflow packs it: a tag may have 20,000 letters, 5,000 on older servers.
        packed = base64.b64encode(zlib.compress(canonical_json(page_state(runs)).encode())).decode()
        envelope = {"name": NAME, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
        store.client.set_experiment_tag(number, TAG + IDENTITY, canonical_json(envelope))
    except MlflowException as error:
        raise StoreUnavailableError(f"MLflow's store {shown(store_uri())} cannot be used: {reason(error)}") from error
    return f"/#/experiments/{number}/runs?workflowType=machine_learning&viewStateShareKey={IDENTITY}"


def page_state(runs: "Sequence[Run]") -> dict[str, Any]:
    """The state of MLflow's page of runs: sorted, with the columns and charts that are worth looking at."""
    measured = {name for run in runs for name in run.data.metrics}
    metrics = [f"val.{name}" for name in HEADLINES if f"val.{name}" in measured]
    differing = names_that_differ([run.data.params for run in runs])[:_MOST_PARAMS]
    columns = {f"params.`{name}`": _width(name) for name in differing}
    columns |= {f"metrics.`{name}`": _width(name) for name in metrics}
    columns["attributes.`Models`"] = _width(" " * 20)
    curves = sorted((name for name in measured if "/" in name), key=_curve_order)
    return {
        "searchFilter": "",
        "orderByKey": f"metrics.`{metrics[0]}`" if metrics else "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        "columnWidths": columns,
        "runsHiddenMode": f"FIRST_{_RUNS_IN_A_CHART}_RUNS",
        "compareRunCharts": [_bar(name) for name in metrics] + [_line(name) for name in curves],
        "compareRunSections": [_section("headline", NAME), _section("curves", "Learning curves")],
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "useGroupedValuesInCharts": True,
        "groupBy": None,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _width(heading: str) -> int:
    """Pixels in which a column's heading is not cut, at MLflow's size of letters."""
    return max(90, 7 * len(heading) + 30)


def _curve_order(name: str) -> tuple[int, str]:
    last = name.rsplit("/", 1)[-1]
    return CURVES.index(last) if last in CURVES else len(CURVES), name


def _section(identity: str, title: str) -> dict[str, Any]:
    return {
        "uuid": identity,
        "name": title,
        "display": True,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
    }


def _bar(metric: str) -> dict[str, Any]:
    return _chart("BAR", "headline", metric)


def _line(metric: str) -> dict[str, Any]:
    return _chart("LINE", "curves", metric) | {
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "selectedYAxisMetricKey": "metric",
        "yAxisExpressions": [],
        "range": {},
        "lineSmoothness": 0,
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _chart(kind: str, section: str, metric: str) -> dict[str, Any]:
    return {
        "uuid": metric,
        "type": kind,
        "metricSectionId": section,
        "metricKey": metric,
        "runsCountToCompare": _RUNS_IN_A_CHART,
        "deleted": False,
        "isGenerated": False,
    }
