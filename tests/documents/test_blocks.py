"""Lines, fences, comments and headings, with CommonMark itself as the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from orchestration.documents.grammar.blocks import scan
from orchestration.documents.grammar.diagnostics import DocumentError
from orchestration.documents.grammar.text import MAX_BYTES, SourceText, read_text, write_text


def headings(text: str) -> list[tuple[int, str, int]]:
    return [(h.level, h.title, h.line) for h in scan(SourceText(text)).headings]


def test_only_three_line_endings_count() -> None:
    text = "a\x0cb\u2028c\x85d\x1ce\n# one\r\n\r# two\n"
    assert SourceText(text).lines == ["a\x0cb\u2028c\x85d\x1ce", "# one", "", "# two"]
    assert headings(text) == [(1, "one", 1), (1, "two", 3)]


def test_a_bom_hides_no_heading() -> None:
    assert headings("\ufeff# first\n") == [(1, "first", 0)]
    source = SourceText("\ufeff# first\nx")
    assert source.text[source.starts[0] : source.end(0)] == "# first"
    assert source.text[source.starts[1] :] == "x"


def test_fences_and_comments_are_opaque() -> None:
    text = (
        "# a\n```python\n# no\n```\n- ```sh\n  # no\n  ```\n      ~~~\n# no\n      ~~~\n"
        "<!--\n# no\n-->\n````md\n```\n# no\n```\n````\n## b\n"
    )
    assert headings(text) == [(1, "a", 0), (2, "b", 18)]
    assert [f.info for f in scan(SourceText(text)).fences] == ["python", "sh", "", "md"]


@pytest.mark.parametrize("mark", ["- ", "  * ", "12. ", "\t1)\t", "+        "])
def test_a_fence_on_the_line_of_a_list_marker(mark: str) -> None:
    blocks = scan(SourceText(f"{mark}~~~ sh `x`\n# no\n```\n  ~~~~ \n# yes\n"))
    assert [(f.start, f.end, f.info, f.closed) for f in blocks.fences] == [(0, 4, "sh `x`", True)]
    assert [h.title for h in blocks.headings] == ["yes"]
    far = scan(SourceText(f"{mark}{' ' * 9}~~~\n# yes\n"))  # too far from the marker: code
    assert not far.fences and [h.title for h in far.headings] == ["yes"]


def test_an_unclosed_fence_hides_the_rest_and_says_so() -> None:
    blocks = scan(SourceText("# a\n```\n# b\n- ```\n"))
    assert [h.title for h in blocks.headings] == ["a"]
    assert [(f.start, f.end, f.closed) for f in blocks.fences] == [(1, 4, False)]


def test_a_marker_in_an_open_fence_closes_nothing() -> None:
    blocks = scan(SourceText("```\n- ```\n# x\n```\n# y\n"))
    assert [h.title for h in blocks.headings] == ["y"]


LINES = st.lists(
    st.sampled_from(
        ["# a", "## b #", "###", "#x", "  ## c", "text", "", "```", "```py", "````", "~~~",
         "``` `", "~~~ `a", "~~~~~", "```  ", "``` \t", "  ````", "<!-- c -->", "<!--", "-->",
         "<!-- ```", "``` -->", "<!-->", "####### no", "# # #", "a --> b"]
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(LINES)
def test_headings_and_fences_agree_with_commonmark(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    oracle = MarkdownIt("commonmark").disable(["list", "code", "lheading", "blockquote"])
    oracle.core.ruler.enableOnly(["normalize", "block"])
    tokens = oracle.parse(text)
    wanted = [
        (int(t.tag[1]), tokens[i + 1].content, t.map[0])
        for i, t in enumerate(tokens)
        if t.type == "heading_open" and t.map
    ]
    blocks = scan(SourceText(text))
    assert headings(text) == wanted
    total = len(lines)  # the line after the last newline is the oracle's only in an open fence
    fences = [(*t.map, t.info.strip()) for t in tokens if t.type == "fence" and t.map]
    assert [(f.start, min(f.end, total), f.info) for f in blocks.fences] == [
        (start, min(end, total), info) for start, end, info in fences
    ]
    comments = [t.map for t in tokens if t.type == "html_block" and t.map]
    assert [[start, min(end, total)] for start, end in blocks.comments] == comments


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab#`~<!->\r\n\x0c\u2028 \t", max_size=60))
def test_offsets_rebuild_the_text(text: str) -> None:
    source = SourceText(text)
    rebuilt = "".join(text[source.starts[i] : source.after(i)] for i in range(len(source.lines)))
    assert text.endswith(rebuilt) and len(text) - len(rebuilt) <= 1
    for index, line in enumerate(source.lines):
        assert text[source.starts[index] : source.end(index)] == line
        assert "\n" not in line and "\r" not in line


def test_too_large_is_refused(tmp_path) -> None:
    with pytest.raises(DocumentError, match="too large"):
        SourceText("x" * (MAX_BYTES + 1))
    path = tmp_path / "big.md"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DocumentError, match="too large"):
        read_text(path)


def test_bytes_survive_reading_and_writing(tmp_path) -> None:
    data = bytes(range(256)) * 3
    path = tmp_path / "junk.md"
    path.write_bytes(data)
    write_text(path, read_text(path))
    assert path.read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["junk.md"]
