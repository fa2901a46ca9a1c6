"""Text of any editor."""

import pytest

from storage.text import read_table, read_text


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_marks_and_line_ends_of_editors_make_no_difference(tmp_path, mark, end):
    path = tmp_path / "file"
    path.write_bytes(mark + b"a" + end + "ä".encode() + end)
    assert read_text(path) == "a\nä\n"


def test_what_is_no_utf8_is_refused_or_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\xff\xfea\0")
    with pytest.raises(UnicodeDecodeError):
        read_text(path)
    assert "a" in read_text(path, errors="replace")


def test_a_table_that_cannot_be_read_is_empty(tmp_path):
    path = tmp_path / "a.json"
    assert read_table(path) == {}
    for content, wanted in (
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b"[1]", {}),
        (b"{", {}),
        (b"[" * 10**5, {}),
        (b"\xff", {}),
    ):
        path.write_bytes(content)
        assert read_table(path) == wanted
