"""In which encoding a text file is written: its byte order mark, and what its bytes are likely
to mean.
"""

import codecs
import re

import numpy as np

SAMPLE = 65_536
"""Bytes, from the first beyond ASCII on, that show the language."""
MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CENTRAL = frozenset("ąćęłńóśźżĄĆĘŁŃÓŚŹŻáčďéěíňřšťúůýžÁČĎÉĚÍŇŘŠŤÚŮÝŽőűŐŰöüÖÜäßÄ")
"""Letters of the languages that Windows writes as cp1250: Polish, Czech, Slovak, Hungarian."""


def marked_encoding(head: "memoryview[int] | bytes", declared: str) -> tuple[bytes, str]:
    """The byte order mark at the start of a file, and its encoding; without one the declared
    encoding.
    """
    start = bytes(head[:4])
    for mark, encoding in MARKS:
        if start.startswith(mark):
            return mark, encoding
    name = codecs.lookup(declared).name if declared else ""
    return b"", {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(
        name, declared
    )


def likely_encoding(raw: "memoryview[int] | bytes") -> str:
    """The encoding of a text, as far as its bytes tell; empty where every usual encoding reads
    the same.
    """
    mark, encoding = marked_encoding(raw, "ascii")
    if mark:
        return encoding
    if b"\0" in bytes(raw[:SAMPLE]):
        return _likely_wide(bytes(raw[:SAMPLE]))
    if is_encoded(raw, "ascii"):
        return ""
    if is_encoded(raw, "utf-8"):
        return "utf-8"
    first = re.search(rb"[\x80-\xff]", raw)
    if first:
        sample = bytes(raw[max(first.start() - 1, 0) :][:SAMPLE])
    else:
        sample = b""
    if _fitting_letters(sample, "cp1250") > _fitting_letters(sample, "cp1252"):
        return "cp1250"
    if is_encoded(raw, "cp1252"):
        return "cp1252"
    return "latin-1"


def is_encoded(content: "memoryview[int] | bytes", encoding: str) -> bool:
    """Whether the bytes are text in an encoding."""
    try:
        str(content, encoding)
    except UnicodeDecodeError:
        return False
    return True


def _fitting_letters(sample: bytes, encoding: str) -> int:
    """How many characters beyond ASCII are letters next to a letter; in cp1250 those of its
    languages only.
    """
    text = f" {str(sample, encoding, 'replace')} "
    return sum(
        (here in CENTRAL if encoding == "cp1250" else here.isalpha())
        and (before.isalpha() or after.isalpha())
        for before, here, after in zip(text, text[1:], text[2:], strict=False)
        if not here.isascii()
    )


def _likely_wide(sample: bytes) -> str:
    """UTF-16 or UTF-32 without a mark, by the places of its zeros; empty where they fit
    neither.
    """
    values = np.frombuffer(sample[: len(sample) // 4 * 4], dtype=np.uint8).reshape(-1, 4)
    zeros = (values == 0).mean(axis=0) > 0.5  # noqa: PLR2004 - most characters are ASCII
    forms = {
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
        (False, True, True, True): "utf-32-le",
        (True, True, True, False): "utf-32-be",
    }
    return forms.get(tuple(zeros.tolist()), "")
