"""What exceptions of Ray mean; no Ray is started for it."""

import errno

import ray.exceptions

from raysim.cluster.failures import meaning_of
from raysim.core.errors import ActorLost, InputError, OutOfMemory, RunError


def caused(cause: Exception) -> Exception:
    error = RuntimeError("wrapped")
    error.cause = cause  # type: ignore[attr-defined]
    return error


def test_what_the_work_raised_comes_out_as_it_was() -> None:
    raised = InputError("no such file")
    assert meaning_of(caused(raised)) is raised
    assert meaning_of(raised) is raised


def test_lost_processes_nodes_and_objects_are_lost_actors() -> None:
    for error, told in (
        (ray.exceptions.ActorDiedError(), "ended unexpectedly"),
        (ray.exceptions.NodeDiedError("node"), "the node that it ran on was lost"),
        (ray.exceptions.WorkerCrashedError(), "ended unexpectedly"),
        (ray.exceptions.ActorUnavailableError("gone", None), "cannot be reached"),
        (ray.exceptions.ObjectLostError("0" * 56, None, ""), "lost with the node that held it"),
    ):
        for found in (meaning_of(error), meaning_of(caused(error))):
            assert isinstance(found, ActorLost)
            assert not isinstance(found, OutOfMemory)
            assert told in str(found)


def test_memory_that_ran_out_names_what_to_lower() -> None:
    found = meaning_of(ray.exceptions.OutOfMemoryError("out of memory"))
    assert isinstance(found, OutOfMemory)
    assert "lower execution.slots" in str(found)


def test_a_disk_that_is_too_full_to_spill_to_is_named_with_what_to_do() -> None:
    for error in (ray.exceptions.OutOfDiskError(""), ray.exceptions.ObjectStoreFullError("")):
        found = meaning_of(caused(error))
        assert isinstance(found, RunError)
        assert not isinstance(found, ActorLost)  # the same again would end alike
        assert "free some room" in str(found)


def test_an_error_of_files_is_one_line_with_the_path() -> None:
    found = meaning_of(caused(PermissionError(errno.EACCES, "Permission denied", "/data/x.py")))
    assert isinstance(found, InputError)
    assert str(found).startswith("/data/x.py: Permission denied; ")


def test_other_errors_stay_what_they_are() -> None:
    error = ValueError("a mistake in the code")
    assert meaning_of(error) is error
