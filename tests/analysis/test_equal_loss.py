import dataclasses

import pytest

from raysim.analysis.equal_loss import Meeting, meet
from raysim.analysis.reached_models import ReachedModel

BASE = ReachedModel(
    1, "", "", "", 1.0, "", (), "", 0, False, "", (), "", {}, 1, 1, 0.0, 0.0, 1
)  # fmt: skip


def met(ours, theirs, moment="epoch"):
    one, other = named("fedavg", "round", ours), named("centralized", moment, theirs)
    losses = {m.model: loss for m, loss in [*one, *other]}
    return meet([m for m, _ in one], [m for m, _ in other], lambda m: losses[m.model])


def named(label, moment, losses):
    family = {"fedavg": "federated"}.get(label, label)
    made = [
        dataclasses.replace(BASE, strategy=label, family=family, moment=moment, index=i, model=f"{label}{i}")
        for i in range(1, len(losses) + 1)
    ]
    return list(zip(made, losses, strict=True))


def test_the_end_of_the_less_fitted_path_is_interpolated_on_the_other():
    found = met([3.0, 2.0, 1.3], [2.0, 1.5, 1.0, 0.2])
    assert isinstance(found, Meeting)
    assert (found.ours.before.index, found.ours.after.index) == (3, 3)
    assert (found.theirs.before.index, found.theirs.after.index) == (2, 3)
    assert found.theirs.share == pytest.approx(0.4)
    assert found.note == (
        "at 1.30 and 1.30 nats of training loss: fedavg at round 3, centralized between epoch 2 and 3"
    )


def test_either_side_may_be_the_less_fitted():
    found = met([3.0, 2.0, 0.1], [2.0, 1.5])
    assert isinstance(found, Meeting)
    assert (found.theirs.after.index, found.ours.before.index, found.ours.after.index) == (2, 2, 3)
    assert found.ours.share == pytest.approx(0.5 / 1.9)


def test_a_loss_that_is_passed_twice_is_taken_where_it_is_last():
    """Up and down again: 1.2 lies between epochs 1 and 2, 2 and 3, and 3 and 4."""
    found = met([3.0, 1.2], [1.5, 1.0, 1.4, 0.9])
    assert isinstance(found, Meeting)
    assert (found.theirs.before.index, found.theirs.after.index) == (3, 4)
    assert found.theirs.share == pytest.approx(0.4)


def test_the_less_fitted_path_is_followed_back_to_where_the_other_begins():
    """It ends where the other never was, but came by it before: the end of the pair is the nearest."""
    found = met([3.0, 0.9, 0.3, 1.3], [0.6, 0.2])
    assert isinstance(found, Meeting)
    assert (found.ours.before.index, found.ours.after.index) == (3, 4)
    assert (found.theirs.before.index, found.theirs.after.index) == (1, 2)
    assert abs(found.ours.loss - found.theirs.loss) <= 0.02 + 1e-12


@pytest.mark.parametrize(("end", "meets"), [(1.319, True), (1.321, False)])
def test_losses_match_within_two_hundredths(end, meets):
    assert isinstance(met([2.0, end], [1.3, 0.5]), Meeting) == meets


def test_paths_that_do_not_overlap_say_what_would_make_them():
    why = "fedavg ends at 1.31 nats of training loss, centralized begins at 0.42: more rounds of fedavg"
    # Its first epoch is probed already; of one that is probed at its end alone, an earlier one may do.
    assert met([2.4, 1.31], [0.42, 0.05]) == why
    earlier = ", or `measure: {memorization: {when: every_pooled_epoch}}` to probe centralized earlier"
    assert met([2.4, 1.31], [0.42], "stage") == why + earlier


def test_single_models_meet_where_they_are_equal():
    assert isinstance(met([1.0], [1.01]), Meeting)
    assert isinstance(met([1.0], [0.5]), str)


def test_unknown_losses_meet_nowhere():
    assert met([None, None], [1.0]) == ""
