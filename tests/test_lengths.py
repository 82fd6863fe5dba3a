"""What a test run tells of lengths, on a tree whose lengths are known."""

from pathlib import Path

import lengths


def test_report_counts_functions_without_their_docstrings(tmp_path: Path) -> None:
    for folder in ("shared/hushkey", "tests"):
        (tmp_path / folder).mkdir(parents=True)
    code = 'def f():\n    """Say."""\n    return 1\n\n\ndef g():\n    return 2\n'
    (tmp_path / "shared/hushkey/a.py").write_text(code)
    (tmp_path / "tests/test_a.py").write_text("x = 1\n" * 14)

    assert lengths.report(tmp_path) == [
        "functions: median 2, 90 % up to 2, max 2",
        "longest: shared/hushkey/a.py 7",
        "lines: product 7, tests 14, 2.00 to 1",
    ]
