from pathlib import Path

import pytest
from run_tables import Options, build

from raysim.analysis.compared_runs import open_compared
from raysim.core.errors import InputError


def test_runs_of_one_name_are_told_by_their_folders(tmp_path: Path) -> None:
    folders = [build(tmp_path / name, Options(files=1, prompts=1)) for name in ("one", "two")]
    assert [name for name, _ in open_compared(folders)] == [str(folder) for folder in folders]


def test_one_run_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to compare it with"):
        open_compared([build(tmp_path / "one", Options(files=1, prompts=1))])


def test_points_of_a_sweep(sweep_folder: Path) -> None:
    names = [name for name, _ in open_compared([sweep_folder])]
    assert len(names) == len(set(names)) >= 2
