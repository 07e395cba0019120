"""Show this state of the pipeline in MLflow. Writes nothing that DVC tracks."""

from experiments.delivery import deliver_pending
from experiments.record import collect
from stages.runner import run


def track() -> None:
    """Collect the current state into a record and deliver every record that waits; a dead server costs a warning."""
    collect()
    deliver_pending()


if __name__ == "__main__":
    run("track", track)
