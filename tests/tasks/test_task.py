from raysim.core.keys import key_of
from raysim.tasks.task import Task, TaskOutput


def count(actor: object, numbers: list[int]) -> TaskOutput:
    return TaskOutput({"sum": sum(numbers)})


def test_a_task_is_named_by_its_recipe() -> None:
    recipe = {"kind": "count", "version": 1, "weights": "w"}
    task = Task(recipe, "counting at a", "a", count, ([1, 2],))
    assert (task.key, task.kind, task.weights) == (key_of(recipe), "count", "w")
    same = Task(recipe, "another name", "b", count, ([1, 2],), tokens=3)
    assert same.key == task.key
    assert Task({"kind": "count", "version": 1}, "", "a", count).weights is None
