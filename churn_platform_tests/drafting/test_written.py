"""How the files of a draft are written: the doubt about an encoding shows a word in both readings."""

import pandas as pd
import pytest

from churn_platform.contract.parts import FileFormat
from churn_platform.drafting.draft import written_in
from churn_platform.drafting.keys import KeyColumn, Sheet
from churn_platform.drafting.tables import Parts

KEY = KeyColumn("id", integer=False)


def doubt(encoding, *words):
    made = Parts()
    sheet = Sheet("a", "a", pd.DataFrame({"town": words}), {})
    written_in(FileFormat(encoding=encoding), [sheet], KEY, made)
    return made.doubts.get(("files",), "")


@pytest.mark.parametrize(
    ("encoding", "word", "other", "reading"),
    [("cp1250", "Łódź", "cp1252", "£ódŸ"), ("cp1252", "Señor", "cp1250", "Seńor")],
)
def test_a_word_that_another_encoding_reads_differently_is_shown_in_both(
    encoding, word, other, reading
):
    said = doubt(encoding, "Köln", word)
    for fact in (encoding, other, repr(word), repr(reading), "'town'"):
        assert fact in said


def test_a_word_that_both_encodings_read_alike_is_shown_once():
    said = doubt("cp1252", "Köln", "Ulm")
    assert "'Köln'" in said
    assert "cp1250" not in said
    assert "cp1252 is a guess" in doubt("cp1252", "Ulm")


def test_an_encoding_that_is_certain_is_not_doubted():
    assert doubt("utf-8", "Łódź") == ""
