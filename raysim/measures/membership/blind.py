"""The blind baseline of membership inference: telling members from non-members without any model.

Whatever the two splits differ in by themselves (age, repository, style), an attack may feed on instead of on what the
model remembers. So the same units are told apart by the words in them alone, by a classifier that is tried on files
that it has not seen (Das et al., Blind Baselines Beat Membership Inference Attacks, 2024, arXiv 2406.16201; Meeus et
al., Membership Inference Attacks on LLMs are Rushing Nowhere, 2024, arXiv 2406.17975). It finds what a bag of words can
hold and so many files can teach; where it finds nothing, another guess may still find something.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.core.keys import seed_of
from raysim.measures.membership.scores import MembershipSettings, Unit, units_of
from raysim.organizations.organization import Organization
from raysim.tables.schemas.audits import BLIND

BLIND_VERSION = 2
"""Numerics version; part of the recipe."""

BLIND_SCHEMA = BLIND.without("organization")

_NUM_FOLDS = 5

_WORD = r"\w+|[^\w\s]"
"""The words of code: names, numbers, and every other sign by itself."""


def blind_scores(
    organization: Organization, settings: MembershipSettings, sequence_length: int, split_seed: int
) -> pa.Table:
    """Runs inside the organization; guesses of every unit whether it is a member, from its words alone.

    Returns:
        a table of `BLIND_SCHEMA`: scores compare within a fold alone. Without a row where there are not two files of
        either kind to learn from and to try on.
    """
    units = units_of(organization, settings, sequence_length, split_seed)
    folds = deal_folds(units, seed_of(split_seed, "blind folds", organization.corpus.train_fingerprint))
    if folds is None:
        return BLIND_SCHEMA.empty_table()
    scores = cross_validated([unit.text for unit in units], np.array([unit.member for unit in units]), folds)
    rows = [
        {"file": unit.file, "chunk": unit.chunk, "member": unit.member, "fold": int(fold), "score": float(score)}
        for unit, fold, score in zip(units, folds, scores, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=BLIND_SCHEMA)


def deal_folds(units: Sequence[Unit], seed: int) -> npt.NDArray[np.int64] | None:
    """The fold of each unit: files are dealt out whole, members and non-members apart, so that each fold has both.

    Chunks of one file in two folds would be told by the file's own names. None where there are too few files.
    """
    files = {member: sorted({unit.file for unit in units if unit.member == member}) for member in (True, False)}
    num_folds = min(_NUM_FOLDS, *map(len, files.values()))
    if num_folds < 2:
        return None
    generator = np.random.Generator(np.random.Philox(seed))
    dealt: dict[tuple[bool, str], int] = {}
    for member, names in files.items():
        dealt |= {(member, names[i]): at % num_folds for at, i in enumerate(generator.permutation(len(names)))}
    return np.array([dealt[unit.member, unit.file] for unit in units])


def cross_validated(
    texts: Sequence[str], members: npt.NDArray[np.bool_], folds: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Scores of a logistic regression over a bag of words, each text's by one that has seen no text of its fold.

    On one thread: over ten thousand words, sums of the solver round by how many there are, and no recipe says how many.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from threadpoolctl import threadpool_limits

    scores = np.zeros(len(texts))
    for fold in np.unique(folds):
        words = TfidfVectorizer(lowercase=False, token_pattern=_WORD, sublinear_tf=True)
        classifier = make_pipeline(words, LogisticRegression(class_weight="balanced", max_iter=1000))
        with threadpool_limits(1):
            classifier.fit([text for text, at in zip(texts, folds, strict=True) if at != fold], members[folds != fold])
        tried = [text for text, at in zip(texts, folds, strict=True) if at == fold]
        scores[folds == fold] = classifier.decision_function(tried)
    return scores
