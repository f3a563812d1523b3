from raysim.analysis.reached_models import finals, plain, read_points
from raysim.tables.results import open_run


def test_families_are_read_off_the_data(run):
    families = {point.strategy: point.family for point in read_points(open_run(run))}
    assert families == {
        "single": "single",
        "centralized": "centralized",
        "incremental": "incremental",
        "fedavg": "federated",
        "fedyogi": "federated",
    }


def test_settings_have_one_final_point_an_order_and_seed(build_run):
    points = finals(read_points(open_run(build_run(seeds=(1, 2)))))
    assert len(points) == 2 * (3 + 1 + 6 + 2)


def test_orders_follow_the_experiment(run):
    orders = [p.order for p in finals(read_points(open_run(run))) if p.family == "single"]
    assert orders == ["meta", "microsoft", "google"]


def test_variants_do_not_enter_a_primary_contrast():
    assert plain(["fedavg", "fedavg_dp"]) == ["fedavg"]
    assert plain(["fedavg_dp"]) == ["fedavg_dp"]
