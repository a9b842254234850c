"""What an RSM is good for: retrieval, predictions, views. EVALUATIONS is their table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A column of an evaluation.

    Attributes:
        name: As it is printed; `@k` stands for one column a k.
        summary: What it is, with its formula.
        range: Lowest and highest value.
        better: "larger", "smaller", or "" for what is neither.
        ties: How equal similarities count.
    """

    name: str
    summary: str
    range: tuple[float, float]
    better: str
    ties: str = "expected value"


@dataclass(frozen=True)
class EvaluationMethod:
    """A row of EVALUATIONS.

    Attributes:
        name: Of the command, `semrsm evaluate NAME`.
        summary: One line.
        question: What it answers, in plain words.
        metrics: Its columns that are values.
        counts: Its columns that are counts -> what they count.
        details: What a row of `--details` is of.
        memory: What it needs, in words; what does not fit is refused with the bytes.
        reference: Whose method it is.
        doi: Of the reference.
    """

    name: str
    summary: str
    question: str
    metrics: tuple[Metric, ...]
    counts: dict[str, str]
    details: str
    memory: str
    reference: str
    doi: str


INFINITY = float("inf")
WALD = "Wald et al.: Decoupling semantic similarity from spatial alignment for neural networks. NeurIPS 2024"
EXCLUDED = "samples that are no query, as no candidate shares a label or is another view"

RETRIEVAL = EvaluationMethod(
    "retrieval",
    "whether the nearest neighbours of each sample share its labels",
    "Each sample is a query; its candidates are all others, without other views of it where --views are"
    " given, ranked by falling similarity. A candidate is relevant if it shares a label with the query. R"
    " are relevant, h(r) of them among the first r. Values are means over the queries.",
    (
        Metric(
            "f1@k",
            "mean over the first k of 2 |Q ∩ G| / (|Q| + |G|), Q and G the label sets; with one label each"
            " it is h(k) / k",
            (0.0, 1.0),
            "larger",
        ),
        Metric("precision@k", "h(k) / k; only where a sample has two labels", (0.0, 1.0), "larger"),
        Metric(
            "recall@k",
            "h(k) / R; not where no sample has two labels and R is the same for all queries, as it is"
            " f1@k · k / R then",
            (0.0, 1.0),
            "larger",
        ),
        Metric("map", "mean of h(r) / r over the ranks of the relevant", (0.0, 1.0), "larger"),
        Metric("mrr", "1 / rank of the first relevant candidate", (0.0, 1.0), "larger"),
        Metric("r-precision", "h(R) / R", (0.0, 1.0), "larger"),
    ),
    {
        "queries": "samples that have a relevant candidate",
        "excluded": EXCLUDED,
        "excluded-views": "candidates that all queries lose as they are other views of them",
    },
    "query",
    "rows of the RSM, one at a time if need be",
    "Manning, Raghavan, Schütze: Introduction to information retrieval, 2008, chapter 8; F1@k:"
    f" {WALD}; ties: McSherry, Najork: Computing information retrieval performance measures efficiently"
    " in the presence of tied scores. ECIR 2008",
    "10.1007/978-3-540-78646-7_38",
)

PREDICTIONS = EvaluationMethod(
    "predictions",
    "whether similar samples are predicted alike",
    "Correlation, over the pairs i < j, of similarity and the Jensen-Shannon divergence (log base 2) of the"
    " predicted class probabilities.",
    (
        Metric("pearson", "Pearson's correlation", (-1.0, 1.0), "smaller", "as they are"),
        Metric("spearman", "Pearson's of the ranks", (-1.0, 1.0), "smaller", "expected rank"),
    ),
    {},
    "pair",
    "56 bytes a pair; 32 MiB for each thread on resamples",
    f"{WALD}; the divergence: Lin: Divergence measures based on the Shannon entropy. IEEE Transactions on"
    " Information Theory 37, 1991",
    "10.1109/18.61115",
)

VIEWS = EvaluationMethod(
    "views",
    "whether two views of one thing are more alike than other pairs",
    "The pairs i < j that show one thing, say an image and its translation, against all other pairs.",
    (
        Metric(
            "median-same",
            "median similarity of the first",
            (-INFINITY, INFINITY),
            "",
            "as they are",
        ),
        Metric(
            "median-other",
            "median similarity of the others",
            (-INFINITY, INFINITY),
            "",
            "as they are",
        ),
        Metric("auroc", "how often one of the first is the more similar", (0.0, 1.0), "larger"),
        Metric(
            "top1", "share of samples whose nearest other is another view", (0.0, 1.0), "larger"
        ),
    ),
    {"queries": "samples that have another view", "excluded": EXCLUDED},
    "pair",
    "40 bytes a pair of views; the RSM is read several times where all pairs do not fit",
    "Hanley, McNeil: The meaning and use of the area under a receiver operating characteristic (ROC)"
    f" curve. Radiology 143, 1982; {WALD}",
    "10.1148/radiology.143.1.7063747",
)

EVALUATIONS = {row.name: row for row in (RETRIEVAL, PREDICTIONS, VIEWS)}
