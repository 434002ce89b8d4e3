import builtins
import json
import pickle

import pytest
from made_results import made_result

from dsmobile.benchmark.result import write_result
from dsmobile.errors import DataError, MissingExtraError, OutputError, UsageError
from dsmobile.reporting.write import HTML_FILE, write_report, write_results


@pytest.fixture
def result_file(tmp_path):
    path = tmp_path / "results" / "20261121.json"
    path.parent.mkdir()
    write_result(path, made_result())
    return path


@pytest.mark.parametrize("form", ["md", "csv", "json"])
def test_text_formats_write_no_file_unless_asked(result_file, tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    report = write_report([result_file], form)
    assert report.path is None
    assert report.to_json() == {"report": None, "format": form, "content": report.content}
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert "20261121" in report.content


@pytest.mark.parametrize("form", ["html", "md", "csv", "json"])
def test_the_file_holds_the_report_and_nothing_is_overwritten(result_file, tmp_path, form):
    if form == "html":
        pytest.importorskip("vl_convert")
    out = tmp_path / "new" / "folder" / f"report.{form}"
    report = write_report([result_file], form, out)
    assert report.path == out
    assert report.to_json() == {"report": str(out), "format": form}
    assert out.read_text(encoding="utf-8") == report.content
    out.write_text("mine")
    with pytest.raises(OutputError, match="would be overwritten"):
        write_report([result_file], form, out)
    assert out.read_text() == "mine"
    assert write_report([result_file], form, out, force=True).content == out.read_text(encoding="utf-8")
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_html_has_a_name_of_its_own(result_file, tmp_path, monkeypatch):
    pytest.importorskip("vl_convert")
    monkeypatch.chdir(tmp_path)
    assert write_report([result_file]).path == tmp_path / HTML_FILE


def test_the_same_results_give_the_same_bytes(result_file, tmp_path):
    pytest.importorskip("vl_convert")
    first, second = (write_report([result_file], "html", tmp_path / name).content for name in ("a.html", "b.html"))
    assert first == second


def test_results_in_memory_need_no_file():
    report = write_results([made_result(), made_result(seed=2)], "md", names=["before", "after"])
    assert "## before: VALID" in report.content
    assert pickle.loads(pickle.dumps(report)) == report


def test_an_unknown_format_names_the_nearest(result_file):
    with pytest.raises(UsageError) as caught:
        write_report([result_file], "htm")
    assert "html" in caught.value.advice


def test_no_result():
    with pytest.raises(UsageError):
        write_report([], "md")


def test_a_folder_is_no_file(result_file, tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        write_report([result_file], "md", tmp_path, force=True)


def test_a_result_is_never_replaced_by_its_own_report(result_file):
    before = result_file.read_bytes()
    with pytest.raises(UsageError):
        write_report([result_file], "json", result_file, force=True)
    assert result_file.read_bytes() == before


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"schema": "dsmobile.result/1"}', '{"schema": "dsmobile.report/1", "results": []}', "\x00"]
)
def test_a_damaged_result_leaves_no_report(tmp_path, content):
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(DataError):
        write_report([path], "md", tmp_path / "report.md")
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_a_missing_result(tmp_path):
    with pytest.raises(DataError):
        write_report([tmp_path / "none.json"], "md")


@pytest.mark.parametrize("missing", ["altair", "vl_convert", "jinja2"])
def test_without_the_extra_the_page_says_how_to_get_it_and_the_others_work(result_file, tmp_path, monkeypatch, missing):
    real = builtins.__import__

    def refusing(name, *args, **kwargs):
        if name.split(".")[0] == missing:
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(MissingExtraError) as caught:
        write_report([result_file], "html", tmp_path / "report.html")
    assert caught.value.advice == "pip install 'dsmobile[report]'"
    assert not (tmp_path / "report.html").exists()
    for form in ("md", "csv", "json"):
        assert write_report([result_file], form).content


def test_a_report_is_no_result(result_file, tmp_path):
    report = write_report([result_file], "json", tmp_path / "report.json")
    assert json.loads(report.content)["schema"] == "dsmobile.report/1"
    with pytest.raises(DataError):
        write_report([tmp_path / "report.json"], "md")
