"""Files that are whole or not there."""

import csv

import pytest

from coursework import files


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "RUNS", tmp_path / "runs")
    return tmp_path / "runs"


def test_a_table_is_written_whole_or_not_at_all(runs):
    files.write_csv("table.csv", ["a", "b"], [[1, "x,y"]])
    with open(runs / "table.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["1", "x,y"]]
    with pytest.raises(ZeroDivisionError):
        files.write_csv("table.csv", ["a"], ([1 / n] for n in (1, 0)))
    assert (runs / "table.csv").read_text(encoding="utf-8").startswith("a,b")
    assert [path.name for path in runs.iterdir()] == ["table.csv"]


def test_nobody_sees_half_a_file(runs):
    with files.replacing(runs / "file") as path:
        path.write_text("half")
        assert not (runs / "file").exists()
    assert (runs / "file").read_text() == "half"
