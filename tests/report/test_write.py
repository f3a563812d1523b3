from raysim.report.write import write_report
from raysim.tables.io import table_path


def test_the_report_is_that_of_whatever_the_folder_is_of(build_run, sweep_folder):
    run = build_run(prompts=2, files=2)
    assert write_report(run) == run / "report.html"
    assert table_path(run, "findings").is_file()
    assert not table_path(run, "sweep").is_file()
    assert write_report(sweep_folder) == sweep_folder / "report.html"
    assert table_path(sweep_folder, "sweep").is_file()
