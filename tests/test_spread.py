"""Submissions on two workers of a Dask scheduler: the same marks, and one that dies costs a submission's time."""

import argparse
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys

import distributed
import psutil
import pytest
from nbgrader.utils import determine_grade, is_grade
from situations import ONE, own, put, save

from conftest import ROOT, wait_for
from teaching import Refused, sandbox
from teaching.cells import read
from teaching.grading import Grader
from teaching.handout import ASSIGNMENT, make_course
from teaching.spread import graders
from teaching.submissions import collect


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_course(tmp_path_factory.mktemp("course"), epochs=1)


@pytest.fixture
def grader(course, tmp_path):
    if not sandbox.works(tmp_path):
        pytest.skip("no bubblewrap on this system, or no right to use it")
    options = argparse.Namespace(data="digits", epochs=1, variants=False, unsafe=False)
    vars(options).update(cell_seconds=60, seconds=300, memory_mib=3000)
    with Grader(course, tmp_path / "place", options) as grader:
        yield grader


@pytest.fixture
def submissions(course, tmp_path):
    """Right ones, a wrong one, one whose cell ends its kernel, one with nothing in it."""
    for who, edit in {
        "anna": lambda book: None,
        "ben": lambda book: put(book, "q11-answer", "q11_lstm = {}\nq11_gru = {}"),
        "cleo": lambda book: own(book, 5, "import os\nos._exit(0)"),
        "dora": lambda book: put(book, "q13-answer", "q13_counterexample = ..."),
    }.items():
        book = read((course / "source" / ASSIGNMENT / f"{ONE}.ipynb").read_bytes())
        put(book, "playground", "")
        edit(book)
        save(tmp_path / "in" / who, {ONE: book})
    (tmp_path / "in" / "emil").mkdir()
    (tmp_path / "in" / "emil" / f"{ONE}.ipynb").write_text("{")
    return collect(tmp_path / "in").submissions


@pytest.fixture
def dask(tmp_path):
    """dask(command, PATH): one of the README's, in the folder of the bundle."""
    processes = []

    def dask(*command, **environment):
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "dask", *command], cwd=ROOT, env=os.environ | environment
            )
        )
        return processes[-1]

    yield dask
    for process in processes:
        process.kill()
        process.wait()


def marks_of(result):
    pages, notes, _ = result
    cells = [cell for page in pages.values() for cell in page.cells if is_grade(cell)]
    return {cell.metadata.nbgrader.grade_id: determine_grade(cell)[0] for cell in cells}, sorted(
        map(str, notes)
    )


@pytest.mark.long
def test_two_workers_give_the_same_marks(grader, submissions, dask, tmp_path, monkeypatch):
    here = {each.key: marks_of(grader.grade(each)) for each in submissions}
    assert [sum(points.values()) for points, _ in here.values()] == [30, 20, 30, 20, 0]
    place, known = ("--host", "127.0.0.1", "--no-dashboard"), tmp_path / "scheduler.json"
    dask("scheduler", *place, "--port", "0", "--scheduler-file", str(known))
    scheduler = wait_for(
        lambda: known.exists() and re.search(r"tcp://[\d.]+:\d+", known.read_text())
    )[0]
    monkeypatch.setenv("COURSEWORK_SCHEDULER", scheduler)
    with (
        pytest.raises(Refused, match="has no workers: start some with 'dask worker'"),
        graders(grader, 1),
    ):
        pass
    options = (scheduler, *place, "--nthreads", "1", "--no-nanny")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "cat").symlink_to(shutil.which("cat"))
    unfit = dask("worker", *options, PATH=str(programs))
    with distributed.Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(1)
        with (
            pytest.raises(Refused, match="has no sandbox: install bubblewrap there"),
            graders(grader, 1),
        ):
            pass
        unfit.kill()
        workers = [dask("worker", *options) for _ in range(2)]
        wait_for(lambda: len(client.nthreads()) == 2)

    def busy(worker):
        return [
            child
            for child in psutil.Process(worker.pid).children(recursive=True)
            if child.name() == "bwrap"
        ]

    with graders(grader, 1) as (grade, many), concurrent.futures.ThreadPoolExecutor(many) as pool:
        jobs = {each.key: pool.submit(grade, each) for each in submissions}
        members = wait_for(lambda: busy(workers[0]))
        workers[0].send_signal(signal.SIGKILL)
        there = {key: marks_of(job.result()) for key, job in jobs.items()}
    assert there == here and workers[1].poll() is None
    assert not psutil.wait_procs(members, timeout=60)[1]  # the sandbox of a worker ends with it


def test_without_a_scheduler_one_line_says_what_to_do(grader, monkeypatch):
    monkeypatch.setenv("COURSEWORK_SCHEDULER", "tcp://127.0.0.1:9")
    with (
        pytest.raises(Refused, match=r"^no Dask scheduler at tcp://127\.0\.0\.1:9: start one"),
        graders(grader, 1),
    ):
        pass
