"""The list of the customers that an imported model was trained on."""

from pathlib import Path

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Contract
from churn_platform.features.training_dataset import Hashes, entity_hashes
from churn_platform.ingestion.conversion import Writing, convert
from churn_platform.lake.keys import everyone, near_keys
from churn_platform.lake.lake import Lake


def customers_in(path: Path, contract: Contract, lake: Lake) -> Hashes:
    """The hashes of the customers in a CSV or Parquet file, sorted.

    Args:
        path: the file; one column has the contract's key.
        contract: the contract.
        lake: the published months, whose keys they must be written like.

    Raises:
        UsageError: the file has no such column, no customer, or keys that are written in
            another way than in the drops.
    """
    keys = _keys(path, contract)
    known = _known(lake)
    listed = pd.Series(keys.astype(str).unique(), dtype="string[pyarrow]")
    strangers = listed[~listed.isin(known)]
    if len(known) and len(strangers) == len(listed):
        raise _invalid(
            path,
            f"none of its {len(listed):,} customers is in the months of the home (first"
            f" {listed.iloc[0]!r}; the home has {known.iloc[0]!r}), so the keys are written in"
            " another way, or the file is of another business",
        )
    near = near_keys(strangers, known[~known.isin(listed)])
    if near is not None:
        raise _invalid(
            path,
            f"{near.count:,} of its keys are those of the drops once {near.spelling.how}"
            f" ({', '.join(near.examples)}): {near.spelling.repair}",
        )
    return entity_hashes(keys)


def _keys(path: Path, contract: Contract) -> pd.Series:
    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(
                path, dtype=str, sep=contract.files.delimiter, encoding=contract.files.encoding,
                keep_default_na=False,
            )  # fmt: skip
    except (OSError, ValueError) as error:
        raise _invalid(path, " ".join(str(error).split())[:200]) from None
    wanted = [contract.entity.column, contract.key.source]
    column = next((name for name in wanted if name and name in frame), None)
    if column is None and frame.shape[1] == 1:
        column = str(frame.columns[0])
    if column is None:
        raise _invalid(
            path, f"it has no column {wanted[0]} (it has {', '.join(map(str, frame.columns[:8]))})"
        )
    writing = Writing.of(contract.files, contract.key)
    keys, faults = convert(frame[column], contract.entity.dtype, writing)
    if faults or keys.isna().any() or (keys.astype(str).str.strip() == "").any():
        raise _invalid(path, f"column {column} has cells that are not keys")
    if keys.empty:
        raise _invalid(path, "it names no customer; leave --trained-on out if there is no list")
    return keys


def _known(lake: Lake) -> pd.Series:
    """Every customer of the published months, as text."""
    found = [everyone(lake.keys(month)).astype(str) for month in lake.months()]
    if not found:
        return pd.Series(dtype="string[pyarrow]")
    joined = pd.concat(found, ignore_index=True).drop_duplicates(ignore_index=True)
    return joined.astype("string[pyarrow]")


class InvalidCustomerList(UsageError):
    """A list of customers cannot be used."""

    code = "CUSTOMER_LIST_INVALID"


def _invalid(path: Path, why: str) -> InvalidCustomerList:
    return InvalidCustomerList(f"The list of customers {path} cannot be used: {why}.")
