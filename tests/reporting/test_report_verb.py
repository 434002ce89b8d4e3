import json
import os
import subprocess
import sys

import pytest
from made_results import made_result

from dsmobile.benchmark.result import write_result

PROGRAM = """
import sys, typer
from dsmobile.cli.report import report
app = typer.Typer()
app.command()(report)
app(sys.argv[1:], prog_name="dsmobile report")
"""


@pytest.fixture
def run(tmp_path):
    write_result(tmp_path / "r.json", made_result())

    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_json_is_one_document_with_an_absolute_path(run, tmp_path):
    done = run("r.json", "--format", "md", "--out", "report.md", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"report": str(tmp_path / "report.md"), "format": "md"}


def test_text_goes_to_stdout(run):
    done = run("r.json", "--format", "csv")
    assert done.returncode == 0
    assert done.stdout.startswith("result,validity,")
    assert done.stdout.count("\n") == 25


def test_json_without_a_file_carries_the_report(run):
    document = json.loads(run("r.json", "--format", "md", "--json").stdout)
    assert document["report"] is None
    assert document["content"].startswith("# dsmobile benchmark")


@pytest.mark.parametrize(("arguments", "code"), [(["none.json", "--format", "md"], 3), (["r.json", "--format", "pdf"], 2), ([], 2)])
def test_failures_have_their_exit_codes(run, arguments, code):
    done = run(*arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_file_that_is_there_is_kept_unless_forced(run, tmp_path):
    (tmp_path / "x.csv").write_text("mine")
    done = run("r.json", "--format", "csv", "--out", "x.csv")
    assert done.returncode == 3
    assert "--force" in done.stderr
    assert (tmp_path / "x.csv").read_text() == "mine"
    assert run("r.json", "--format", "csv", "--out", "x.csv", "--force").returncode == 0
    assert (tmp_path / "x.csv").read_text() != "mine"
