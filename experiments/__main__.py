"""``python -m experiments``: run experiments, cross-validate, verify, point at data, look at them all."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from derm.errors import UserError
from experiments import commands, dataset
from experiments.recipes import as_arguments, changes
from experiments.store import StoreUnavailableError, open_store, shown, store_uri

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(
    help="Run and compare experiments of the lesion pipeline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RecipeOption = Annotated[
    str | None, typer.Option("--recipe", help="A file of recipes/: one key=value a line.", show_default=False)
]
SetOption = Annotated[
    str,
    typer.Option(
        "--set", help='Further changes, which win over the recipe: "loss.gamma=2 train.seed=3".', show_default=False
    ),
]


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """A user's mistake is one line on stderr and exit code 1."""
    try:
        yield
    except (UserError, StoreUnavailableError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def run(
    recipe: RecipeOption = None,
    pairs: SetOption = "",
    name: Annotated[str | None, typer.Option(help="The experiment's name; DVC makes one up if none is given.")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Queue it; `dvc queue start` runs what is queued.")] = False,
    temp: Annotated[bool, typer.Option("--temp", help="Run in a copy; the workspace stays as it is.")] = False,
) -> None:
    """Run one experiment: a recipe, further changes, or both.

    Example: python -m experiments run --recipe focal --set "loss.gamma=3"
    """
    with _one_line_errors():
        if queue and temp:
            raise UserError("--queue and --temp exclude each other: a queued experiment runs in a copy anyway")
        arguments = as_arguments(changes(recipe, pairs))
        arguments += ["-n", name] if name else []
        arguments += ["--queue"] if queue else []
        arguments += ["--temp"] if temp else []
        raise typer.Exit(commands.dvc("exp", "run", *arguments))


@app.command()
def crossval(
    recipe: RecipeOption = None,
    pairs: SetOption = "",
    folds: Annotated[int, typer.Option(help="How many folds.")] = 5,
    out: Annotated[Path | None, typer.Option(help="Also write the numbers to this JSON file.")] = None,
) -> None:
    """Cross-validate: one experiment for each fold, then the headline numbers of all test parts pooled.

    Example: python -m experiments crossval --recipe focal --folds 5 --out cv.json
    """
    from derm.files import write_json
    from experiments.crossval import label, pooled_report, run_folds, summary, table

    with _one_line_errors():
        chosen = changes(recipe, pairs)
        finished = run_folds(label(recipe, pairs), chosen, folds, _say)
        pooled = pooled_report(finished)
        typer.echo(table(finished, pooled))
        if out:
            write_json(out, summary(chosen, finished, pooled))


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A DVC experiment or git revision; with --on folds a cross-validation.")],
    b: Annotated[str, typer.Argument(help="The other; the difference is B - A.")],
    on: Annotated[
        Literal["val", "folds"] | None,
        typer.Option(help="val, or folds: all test parts of two cross-validations. Default: compare.part."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds a side. Default: compare.seeds.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for table and pictures. Default: .derm/compare/A-vs-B.")
    ] = None,
) -> None:
    """Is B better than A? One metric decides (compare.metric in params.yaml); the others are exploratory.

    Heads that have a seed are trained from several, and seeds and lesions are resampled together. From one fit a side,
    or of heads that have no seed, it only says whether the two fitted models differ. The images on which they disagree
    are drawn as a sheet.

    Example: python -m experiments compare baseline focal
    """
    from derm.params import load
    from derm.workspace import private_folder
    from experiments.compare import CompareParams, compare_experiments, told, write_comparison

    with _one_line_errors():
        params = load("compare", CompareParams)
        given = {"part": on or params.part, "seeds": seeds or params.seeds}
        compared = compare_experiments(a, b, params.model_copy(update=given), _say)
        folder = out or private_folder("compare") / f"{a}-vs-{b}".replace("/", "_")
        typer.echo(told(compared))
        write_comparison(compared, folder)
        typer.echo(f"\npictures and tables: {folder}")


@app.command()
def verify() -> None:
    """Recompute HEAD in an empty clone and say "same bytes", "same numbers", or what differs (exit code 1)."""
    from experiments.verify import DIFFERENT
    from experiments.verify import verify as recompute

    with _one_line_errors():
        verdict = recompute(_say)
        typer.echo("\n  ".join([verdict.title, *verdict.details]))
        raise typer.Exit(1 if verdict.level == DIFFERENT else 0)


@app.command()
def leaderboard(
    metric: Annotated[
        str, typer.Option(help="What to rank by, such as macro_auc or melanoma.auc; a wrong one lists them all.")
    ] = "decision.balanced_accuracy",
    on_test: Annotated[
        bool,
        typer.Option("--on-test", help="Rank on test, and say how many states were measured there: for the very end."),
    ] = False,
    top: Annotated[int | None, typer.Option(min=1, help="Only the first so many.", show_default=False)] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the chart, val.png or test.png; .derm/leaderboard if none is named.", show_default=False
        ),
    ] = None,
) -> None:
    """Every experiment ranked on val, with 95 % intervals, as a table and a chart.

    Ranked are the runs in MLflow that were measured on the same images, with the same targets, as the split at hand;
    others are counted. Records that wait are delivered first.

    Example: python -m experiments leaderboard --metric melanoma.auc --top 20
    """
    from derm.files import write_figure
    from derm.params import load
    from derm.workspace import private_folder
    from experiments.delivery import deliver_pending
    from experiments.leaderboard import read_board
    from experiments.leaderboard_table import lines
    from experiments.record import Tracking

    with _one_line_errors():
        experiment = load("tracking", Tracking).experiment
        store = open_store([experiment])  # before delivery, which would tell of a store that is down once more
        if delivered := deliver_pending().delivered:
            _say(f"{delivered} waiting record(s) delivered")
        board = read_board(store, experiment, metric, on_test, top)
        typer.echo("\n".join(lines(board, shutil.get_terminal_size((140, 24)).columns)))
        from experiments.leaderboard_figure import figure

        chart = (out or private_folder("leaderboard")) / f"{board.part}.png"
        write_figure(chart, figure(board))
        typer.echo(f"chart: {chart.relative_to(Path.cwd()) if chart.is_relative_to(Path.cwd()) else chart}")


@app.command()
def queue() -> None:
    """Work off DVC's queue (dvc exp run --queue) to its end, one experiment after another.

    What a killed worker had in hand is queued again, a worker that has gone is replaced; killed itself, start it again.
    Ctrl-C leaves the worker running: `dvc queue stop --kill` ends that too.
    """
    from tqdm import tqdm

    from experiments.queue import Standing, open_repository, put_back, standing, work_off

    with _one_line_errors():
        repository = open_repository()
        if names := put_back(repository):
            _say(f"killed before its end, queued again: {', '.join(names)}")
        first = standing(repository)
        if first.is_over:
            _say("nothing is queued: dvc exp run --queue -S 'loss.gamma=0,1,2'")
            return
        with tqdm(total=len(first.waiting) + len(first.running), unit="experiment") as bar:
            before = first.total - bar.total

            def progress(now: Standing) -> None:
                bar.total = now.total - before
                bar.set_description(now.running[0] if now.running else "waiting")
                bar.update(len(now.succeeded) + len(now.failed) - before - bar.n)

            last = work_off(repository, lambda text: bar.write(text, file=sys.stderr), progress)
        failed = [name for name in last.failed if name not in first.failed]
        typer.echo(f"{bar.n - len(failed)} succeeded, {len(failed)} failed")
        if failed:
            _say(f"failed: {', '.join(failed)}; why: dvc queue logs {failed[0]}")
            raise typer.Exit(1)


@app.command()
def follow(
    last: Annotated[int, typer.Option(min=1, help="How many runs, the newest ones.")] = 12,
    once: Annotated[bool, typer.Option("--once", help="Show them and stop, instead of following.")] = False,
) -> None:
    """What runs now, with its learning curves as they come; what failed and why; what was killed. Ctrl-C ends it.

    From the journal of this repository, .derm/journal: queued and --temp experiments too, not those of other machines.
    """
    import time

    from rich.console import Console
    from rich.live import Live

    from derm import journal
    from experiments.follow import runs_of, table_of

    def shown() -> "Table | str":
        now = time.time()
        runs = runs_of(journal.read(), now)[-last:]
        return table_of(runs, now) if runs else "nothing has run here yet"

    with _one_line_errors():
        if once:
            Console().print(shown())
            return
        with Live(shown(), auto_refresh=False) as live:
            while True:
                time.sleep(1)
                live.update(shown(), refresh=True)


@app.command()
def promote(
    name: Annotated[str, typer.Argument(help="A DVC experiment or git revision.")],
    metric: Annotated[
        str | None, typer.Option(help="What decides. Default: compare.metric in params.yaml.", show_default=False)
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(help="A cross-validation of these settings: compare out of fold, not on val.", show_default=False),
    ] = None,
) -> None:
    """Make an experiment's model the champion of MLflow's registry, unless it is worse than the present one.

    Worse: the 95 % interval of the paired difference, by lesion, lies wholly on the wrong side of zero. Then it says
    so, nothing changes, and the exit code is 1. The registered model has the name of tracking.experiment.

    Example: python -m experiments promote focal
    """
    from derm.params import load
    from experiments.compare import CompareParams
    from experiments.delivery import deliver_pending
    from experiments.promote import promote as make_champion
    from experiments.record import Tracking

    with _one_line_errors():
        experiment, params = load("tracking", Tracking).experiment, load("compare", CompareParams)
        store = open_store([experiment])
        deliver_pending()
        given = params.model_copy(update={"metric": metric or params.metric})
        typer.echo(make_champion(store, experiment, name, folds, given, _say))
        typer.echo(f"load it: mlflow.pyfunc.load_model('models:/{experiment}@champion')")


@app.command()
def ui(port: Annotated[int, typer.Option(help="Where the page is served, on this machine only.")] = 5000) -> None:
    """Deliver the records that wait, then show every run side by side in MLflow (Ctrl-C ends it)."""
    from derm.params import load
    from experiments.delivery import deliver_pending
    from experiments.record import Tracking
    from experiments.saved_view import write_view

    with _one_line_errors():
        experiment = load("tracking", Tracking).experiment
        if delivered := deliver_pending().delivered:
            _say(f"{delivered} waiting record(s) delivered")
        uri, page = store_uri(), write_view(open_store([experiment]), experiment)
        if uri.startswith(("http:", "https:")):
            typer.echo(f"the runs are on a server: {shown(uri).rstrip('/')}{page}")
            return
        _say(f"http://127.0.0.1:{port}{page}")
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
        command += [
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
            "--uvicorn-opts",
            "--log-level warning",
        ]
        # MLflow would start seven more processes, for jobs of chat applications.
        os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        os.execv(sys.executable, command)


SourceOption = Annotated[
    str | None,
    typer.Option("--source", help="ham10000, isic, folders or table; found out by itself where it can be."),
]
TableOption = Annotated[str, typer.Option("--table", help="table: the CSV file, as a path from ROOT.")]
ColumnsOption = Annotated[
    str,
    typer.Option(
        "--columns",
        help='table: what its columns are called: "path=file diagnosis=label lesion_id=lesion"; also image_id, '
        "patient_id, age, sex, body_site, confirmation, source, source_part, mask.",
    ),
]


@app.command()
def data(
    root: Annotated[str, typer.Argument(help="The folder of images: under data/raw, or an absolute path.")],
    source: SourceOption = None,
    table: TableOption = "",
    columns: ColumnsOption = "",
) -> None:
    """Point the pipeline at a folder of images: sets data.root and data.source in params.yaml, and `dvc add`s the
    folder if it is inside the repository.
    """
    with _one_line_errors():
        chosen = dataset.set_data(root, source, table, columns)
        typer.echo(f"data.root is now {chosen['root']}, read as {chosen['source']}: `dvc repro` runs the chain on it")


@app.command()
def external(
    name: Annotated[str, typer.Argument(help="A short name of your own: lower-case letters, digits, - and _.")],
    root: Annotated[str, typer.Argument(help="The folder of images: under data/raw, or an absolute path.")] = "",
    source: SourceOption = None,
    table: TableOption = "",
    columns: ColumnsOption = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take the set of this name out again.")] = False,
) -> None:
    """Add a dataset that the classifier is tested on and never trained on (data.external in params.yaml).

    Its files' digest goes into params; run it again when they have changed. What it shares with the home set (image,
    lesion or patient ids, equal bytes, near-identical images) is left out, group by group, by `dvc repro`.
    """
    with _one_line_errors():
        if remove:
            dataset.remove_external(name)
            typer.echo(f"{name} is no longer in data.external")
            return
        if not root:
            raise UserError("ROOT is missing: name the folder of images")
        entry = dataset.set_external(name, root, source, table, columns)
        typer.echo(f"data.external has {name}, read as {entry['source']}: `dvc repro` prepares and embeds it")


@app.command()
def keep_split() -> None:
    """Keep the present split while images are added: its images stay in their parts, only new groups are dealt out.

    Copies data/split/split.csv to data/kept_split.csv and names it in split.keep, with its digest.
    """
    with _one_line_errors():
        typer.echo(f"the parts of {dataset.keep_split()} images are kept: add images and run `dvc repro`")


def _say(text: str) -> None:
    """Progress, kept apart from the answer."""
    typer.echo(text, err=True)


if __name__ == "__main__":
    app()
