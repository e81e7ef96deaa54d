"""The words that mean a missing value: those that are always read so, their spellings, and those a draft proposes."""

NULL_WORDS = ("", "null", "none", "nan", "-nan", "+nan", "-nan(ind)", "na", "n/a")
"""In lower case. Read as missing in every column but a text."""
_SPELLINGS = [s for word in NULL_WORDS for s in (word, word.upper(), word.capitalize(), word.title())]
NULL_SPELLINGS = tuple(dict.fromkeys([*_SPELLINGS, "NaN", "-NaN", "+NaN"]))
"""As pyarrow needs them; another mix of cases is read by the slower way."""
GAP_WORDS = frozenset({
    "-", "--", "---", "?", ".", "*", "\\n", "#n/a", "#n/v", "#na", "#value!", "#div/0!", "#ref!", "<na>", "<null>",
    "(null)", "(blank)", "n.a.", "n.v.", "k.a.", "nil", "nat", "unknown", "unbekannt", "missing", "not available",
    "tbd",
})  # fmt: skip
"""In lower case. What tools and people write where a number or a date is missing, next to `NULL_WORDS`."""
