"""Files of a draft as its rules see them, and what they refuse."""

from functools import partial

import pandas as pd
import pytest

from churn_platform.base.errors import UsageError
from churn_platform.drafting.columns import guess_column
from churn_platform.drafting.keys import Sheet

N = 40
IDS = [f"c{n:02d}" for n in range(N)]
FLAG = ["yes", "no"] * (N // 2)


def sheet_of(name, frame):
    """The file `name` with what its columns look like."""
    return Sheet(name, name, frame, {h: guess_column(h, frame[h]) for h in frame.columns})


def sheet(name, **columns):
    """The file `name` with these columns."""
    return sheet_of(name, pd.DataFrame(columns))


def later(name, **columns):
    """Makes that file when it is called: every run of pytest collects the parameters."""
    return partial(sheet, name, **columns)


def refused(code, call, *arguments):
    """The message with which a call is refused."""
    with pytest.raises(UsageError) as refusal:
        call(*arguments)
    assert refusal.value.code == code
    return str(refusal.value)
