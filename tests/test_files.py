"""Files that are whole or not there."""

import csv

import pytest

from coursework import files


def test_a_table_is_written_whole_or_not_at_all(runs):
    files.write_csv("table.csv", ["a", "b"], [[1, "x,y"]])
    with pytest.raises(ZeroDivisionError):
        files.write_csv("table.csv", ["a"], ([1 / n] for n in (1, 0)))
    with open(runs / "table.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["1", "x,y"]]
    with files.replacing(runs / "file") as path:
        path.write_text("half")
        assert not (runs / "file").exists()
    assert (runs / "file").read_text() == "half" and len(list(runs.iterdir())) == 2
