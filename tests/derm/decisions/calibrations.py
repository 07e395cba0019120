"""What `calibrate` might have fitted, for tests."""

from typing import Any

from derm.decisions.outcome import Calibration


def calibration(**changes: Any) -> Calibration:
    """Three classes, melanoma flagged, temperature 2, prior rule; with what is changed of it."""
    given = {
        "classes": ["bcc", "mel", "nv"],
        "positive": "mel",
        "calibrator": {"method": "temperature", "temperature": 2.0},
        "rule": "prior",
        "tau": 1.0,
        "priors": [0.1, 0.2, 0.7],
        "prevalence": [0.1, 0.2, 0.7],
        "costs": [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]],
        "threshold": 0.25,
        "target_sensitivity": 0.95,
        "conformal": {
            "alpha": 0.1,
            "thresholds": [1.0, 1.5, 0.5],
            "marginal": 1.0,
            "lesions": [10, 20, 70],
            "missing": [0, 0, 0],
        },
    }
    return Calibration.model_validate(given | changes)
