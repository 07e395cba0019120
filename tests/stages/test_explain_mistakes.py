"""What a user can ask of `explain` and not get ends in one line that says what there is."""

from pathlib import Path

import pytest

from derm.errors import UserError
from stages import calibrate, evaluate, explain, featurize, train_head
from tests.stages.chain import change_params

WRONG = [
    ({"method": "saliency"}, "explain.method is 'saliency', expected 'gradcam', 'gradcam++'"),
    ({"methods": []}, "explain.methods"),
    ({"layer": "layer5"}, "has no layer 'layer5' of which a map could be made; it has maps; auto takes maps"),
    ({"layer": ["maps", "maps"]}, "explain.layer names 2 layers, and there are 1 encoders"),
    ({"method": "attention"}, "colour-texture is not pooled by attention"),
    ({"methods": ["gradcam", "attention"]}, "colour-texture is not pooled by attention"),
    ({"target": "positive"}, "explain.target is positive, and the task has no such class"),
]


def test_each_is_one_line(prepared_workspace: Path) -> None:
    del prepared_workspace
    change_params({"task": {"positive": None}})
    for stage in (featurize, train_head, calibrate, evaluate):
        stage.main()
    right = {"method": "gradcam", "methods": ["gradcam"], "layer": "auto", "target": "predicted"}
    for changes, told in WRONG:
        change_params({"explain": right | changes})
        with pytest.raises(UserError) as caught:
            explain.main()
        assert told in str(caught.value) and "\n" not in str(caught.value), changes
        assert not Path("plots/explain").exists(), changes
    change_params({"explain": right})
    explain.main()
    assert Path("plots/explain/gallery.html").is_file()
