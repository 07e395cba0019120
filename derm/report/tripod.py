"""The TRIPOD+AI checklist (Collins et al. 2024, BMJ 385:e078378): what each item asks, and what the artefacts answer.

The items' numbers and subjects are the checklist's, the words are not: whoever reports a study works from the paper.
"""

from dataclasses import dataclass

import pandas as pd

from derm.report import answers
from derm.report.answers import Answer
from derm.report.artefacts import AbsentError, Artefacts
from derm.report.page import Part

BLANK = "-"
ALL = "all of it"
SAYS, LEFT = "what the artefacts say", "for the authors to fill in"


@dataclass(frozen=True)
class Item:
    """answer: from the artefacts, None where they cannot have one. left: what the authors have to add to it; with no
    answer all of the item is theirs."""

    number: str
    section: str
    asks: str
    answer: Answer | None = None
    left: str = ""


ITEMS = (
    Item("1", "Title", "study type, population and outcome in the title"),
    Item("2", "Abstract", "a summary by the checklist for abstracts"),
    Item("3a", "Background", "medical context, why the model, models that exist"),
    Item("3b", "Background", "for whom, for what step of care, for which users", answers.purpose, "population, users"),
    Item("3c", "Background", "known inequalities in health between groups of people"),
    Item("4", "Objectives", "what the study is to show: development, evaluation or both", answers.objectives, "aims"),
    Item("5a", "Data", "where the data come from, why these, whom they stand for", answers.sources, "why, for whom"),
    Item("5b", "Data", "from when to when the data were gathered"),
    Item("6a", "Participants", "kind, number and place of the centres"),
    Item("6b", "Participants", "who could be in the study", answers.eligibility, "the source's own criteria"),
    Item("6c", "Participants", "treatments, and what was made of them"),
    Item("7", "Data preparation", "preprocessing and checks, alike for all groups", answers.preparation),
    Item("8a", "Outcome", "what is predicted, how and when it was established", answers.outcome, "why, when"),
    Item("8b", "Outcome", "who judged it, and with what training"),
    Item("8c", "Outcome", "whether those who judged were blinded"),
    Item("9a", "Predictors", "which were chosen at first, and how", answers.choice_of_predictors),
    Item("9b", "Predictors", "what each is, how and when it was measured", answers.predictors, "how photographed"),
    Item("9c", "Predictors", "who judged those that need a judgement", answers.judged_predictors),
    Item("10", "Sample size", "how the size was arrived at, whether it is enough"),
    Item("11", "Missing data", "how it was handled, what was left out and why", answers.missing),
    Item("12a", "Analysis", "which data served for what, how they were divided", answers.division),
    Item("12b", "Analysis", "how predictors were scaled or transformed", answers.scaling),
    Item("12c", "Analysis", "kind of model, how it was built and tuned", answers.building, "why this kind"),
    Item("12d", "Analysis", "differences between clusters such as hospitals"),
    Item("12e", "Analysis", "measures and plots of performance", answers.measures),
    Item("12f", "Analysis", "updating of the model after its evaluation", answers.updating),
    Item("12g", "Analysis", "how predictions were calculated in the evaluation", answers.calculation),
    Item("13", "Class imbalance", "what was done about it, and recalibration after that", answers.imbalance, "why"),
    Item("14", "Fairness", "what was done for fairness, and why", answers.fairness, "why"),
    Item("15", "Model output", "what it gives, and how thresholds were set", answers.output),
    Item("16", "Training and test", "how the two kinds of data differ", answers.differences, "setting, eligibility"),
    Item("17", "Ethics", "who approved the study, consent or its waiver"),
    Item("18a", "Open science", "funding, and the funders' part"),
    Item("18b", "Open science", "conflicts of interest"),
    Item("18c", "Open science", "where the protocol is, or that there is none"),
    Item("18d", "Open science", "registration, or that there is none"),
    Item("18e", "Open science", "whether and where the data can be had", answers.data_sharing, "where, on what terms"),
    Item("18f", "Open science", "whether and where the code can be had"),
    Item("19", "Patients and public", "their part in the study, or that they had none"),
    Item("20a", "Participants, results", "how many came in and went out, with and without the outcome", answers.flow),
    Item("20b", "Participants, results", "who they are, what is missing", answers.characteristics, "dates, treatments"),
    Item("20c", "Participants, results", "test people beside training people", answers.comparison),
    Item("21", "Development", "people and outcomes in each analysis", answers.analyses),
    Item("22", "Specification", "the whole model, so that others can use it", answers.specification, "restrictions"),
    Item("23a", "Performance", "estimates with intervals, key groups too", answers.performance),
    Item("23b", "Performance", "how performance differs between clusters"),
    Item("24", "Updating, results", "the updated model and how it does", answers.updating),
    Item("25", "Interpretation", "what the results mean, fairness too, beside other studies"),
    Item("26", "Limitations", "what weakens the study, and what that does", answers.limitations, "what that does"),
    Item("27a", "Usability", "what is done with poor or missing inputs", answers.poor_inputs),
    Item("27b", "Usability", "what users must do, what they must know", answers.interaction, "expertise"),
    Item("27c", "Usability", "what has to be studied next"),
)


def checklist(artefacts: Artefacts) -> pd.DataFrame:
    """`item, section, asks`, SAYS and LEFT, a row for each item in the checklist's order.

    Where an artefact is not there, or cannot say it, the answer is BLANK and all of it is left to the authors.
    """
    rows = []
    for item in ITEMS:
        answer = _answer(item, artefacts)
        left = (item.left or BLANK) if answer else ALL
        rows.append((item.number, item.section, item.asks, answer or BLANK, left))
    return pd.DataFrame(rows, columns=pd.Index(["item", "section", "asks", SAYS, LEFT]))


def _answer(item: Item, artefacts: Artefacts) -> str:
    try:
        return item.answer(artefacts) if item.answer else ""
    except AbsentError:
        return ""


def count_words(table: pd.DataFrame) -> str:
    """How many of the items the artefacts answer."""
    says = table[SAYS] != BLANK
    whole = says & (table[LEFT] == BLANK)
    return (
        f"Of the {len(table)} items the artefacts answer {int(whole.sum())}, and {int((says & ~whole).sum())} in part; "
        f"{int((~says).sum())} are blank, and for the authors to fill in."
    )


def tripod_part(artefacts: Artefacts) -> Part:
    """The checklist as a section of the page."""
    table = checklist(artefacts)
    text = (
        "Collins et al. 2024, BMJ 385:e078378, for studies that develop or evaluate a prediction model. Numbers and "
        f"subjects are the checklist's, the words are not: report from the paper. {count_words(table)}"
    )
    return Part("TRIPOD+AI", text, [("What the artefacts can answer", table)], [])
