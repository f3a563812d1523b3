"""F4: what varies with being last is found where it was planted."""

from contrast_values import change, compared
from run_tables import ORGANIZATIONS

from raysim.analysis.confounds_of_order import last_rate, one_order_each, who_came_last
from raysim.analysis.leakage_contrasts import F4_LAST

A, B, C = ORGANIZATIONS
CYCLES = ((A, B, C), (B, C, A), (C, A, B))


def f4(results):
    return compared(results, "F4", F4_LAST, "incremental")


def test_all_orders_confound_nothing(build_results):
    one = f4(build_results())
    assert [check(one).found for check in (who_came_last, one_order_each, last_rate)] == ["", "", ""]


def test_one_order_for_each_last_organization(build_results):
    assert one_order_each(f4(build_results(orders=CYCLES))).found.startswith("only one order ends with")
    assert not who_came_last(f4(build_results(orders=CYCLES))).found


def test_an_organization_that_never_came_last(build_results):
    results = build_results(orders=((A, B, C), (B, A, C), (C, A, B)))
    assert who_came_last(f4(results)).found == f"no order ends with {A}"
    assert one_order_each(f4(results)).found.startswith(f"only one order ends with {B},")


def test_the_rate_of_the_last_stage(build_results):
    results = build_results()
    before = {(m.order, m.index): m for m in results.reached_models if m.family == "incremental"}
    for (order, index), m in before.items():
        if index == 3:
            own = (m.steps - before[order, 2].steps) * 1.5e-3
            change(results, lambda one, m=m: one is m, learning_rate_sum=before[order, 2].learning_rate_sum + own / 2)
    assert last_rate(f4(results)).found == "the last stage ran at 0.50 times the mean learning rate of those before"


def test_the_rate_is_not_known_without_the_stages(build_results):
    results = build_results()
    results.reached_models[:] = [m for m in results.reached_models if m.family != "incremental" or m.final]
    assert not last_rate(f4(results)).known
