"""Predictions of heads that follow one rule and differ by their seed, for tests of comparisons."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from derm.measures.paired import Side

CLASSES = ["bcc", "mel", "nv"]


@dataclass(frozen=True)
class Rule:
    """What all seeds of a setting agree on: logits [images, classes] of images in groups, with their targets."""

    groups: np.ndarray
    targets: np.ndarray
    logits: np.ndarray

    def better(self, gain: float) -> "Rule":
        """The same with `gain` more on the true class."""
        return Rule(self.groups, self.targets, self.logits + gain * np.eye(len(CLASSES))[self.targets])


def rule(images: int, seed: int, of_group: int = 1) -> Rule:
    """Groups of `of_group` images of one class each, half of them nevi."""
    generator = np.random.default_rng(seed)
    lesions = -(-images // of_group)
    targets = np.repeat(np.append([0, 1, 2], generator.choice(3, lesions - 3, p=[0.2, 0.3, 0.5])), of_group)[:images]
    logits = generator.normal(size=(images, len(CLASSES))) + 1.3 * np.eye(len(CLASSES))[targets]
    return Rule(np.repeat(np.arange(lesions), of_group)[:images], targets, logits)


def table(rule: Rule, logits: np.ndarray) -> pd.DataFrame:
    """A predictions table of these logits."""
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    columns = {f"p_{name}": probabilities[:, index] for index, name in enumerate(CLASSES)}
    return pd.DataFrame(
        {
            "image_id": [f"i{number:04d}" for number in range(len(logits))],
            "group": [f"g{group}" for group in rule.groups],
            "target": rule.targets,
            **columns,
            "predicted": predicted,
            "decision": predicted,
            "flag": (probabilities[:, 1] > 0.2).astype(int),
        }
    )


def side(name: str, rule: Rule, seeds: int, generator: np.random.Generator) -> Side:
    """Each seed leans to a class of its own (it would on any images) and is noisy on each image."""
    shape = (seeds, *rule.logits.shape)
    leaning = 0.6 * generator.normal(size=(seeds, 1, shape[2]))
    logits = rule.logits + leaning + 0.6 * generator.normal(size=shape)
    return Side(name, [table(rule, of_seed) for of_seed in logits], seeded=True)
