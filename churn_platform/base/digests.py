"""Digests: one canonical JSON and one sha256 for everything that is compared later."""

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from churn_platform.base.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from pydantic import BaseModel, JsonValue

ADDED: dict[str, Any] = {"added": True}
"""Goes into `json_schema_extra` of a field that a later version of the platform adds to the
contract or the policy.
"""


def canonical_json(value: Any) -> str:  # noqa: ANN401 - whatever json can hold
    """`value` as JSON with sorted keys and no whitespace: equal values give equal text.

    Raises:
        DataError: the value holds NaN, infinity, or something that JSON has no word for.
    """
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        # A lone surrogate has no UTF-8: refused here, before anything is half written.
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"the value has no canonical JSON ({error}); give plain, finite values"
        ) from error
    return text


def readable(text: str) -> str:
    """`text` as canonical JSON can hold it: what has no UTF-8, as a name in another encoding,
    as its escape.
    """
    return text.encode(errors="backslashreplace").decode()


def digest_of(value: Any) -> str:  # noqa: ANN401 - whatever json can hold
    """Hex sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def hashed_values(model: "BaseModel") -> "dict[str, JsonValue]":
    """The JSON values of a part of the contract that go into its digest.

    A field marked `ADDED` is left out while it has its default: a contract that does not use it
    keeps the digest it had before the field existed, so a new version of the platform changes
    no policy and lapses no approval.
    """
    values: dict[str, JsonValue] = model.model_dump(mode="json")
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if field.json_schema_extra == ADDED and value == field.get_default(
            call_default_factory=True
        ):
            del values[name]
        elif hasattr(type(value), "model_fields"):
            values[name] = hashed_values(value)
    return values


def key_hashes(keys: "Iterable[object]", salt: str = "") -> "npt.NDArray[np.uint64]":
    """The first 64 bits of sha256(salt + key) of each key (rows,), as a number."""
    import pandas as pd

    if isinstance(keys, pd.Series):
        column = keys
    else:
        column = pd.Series(list(keys), dtype=object)
    codes, distinct = pd.factorize(column, use_na_sentinel=False)
    return _hashes(distinct, salt)[codes]


def distinct_key_hashes(keys: "pd.Series", salt: str = "") -> "npt.NDArray[np.uint64]":
    """As `key_hashes`, of keys that occur once; a third faster."""
    return _hashes(keys.to_numpy(dtype=object), salt)


def _hashes(keys: "Iterable[object]", salt: str) -> "npt.NDArray[np.uint64]":
    import numpy as np

    salted = salt.encode()
    sha256 = hashlib.sha256
    digests = b"".join([sha256(salted + str(key).encode()).digest() for key in keys])
    return np.frombuffer(digests, dtype=">u8")[::4].astype(np.uint64)


def frame_digest(frame: "pd.DataFrame", *, values_repeat: bool = True) -> str:
    """Hex sha256 over names, dtypes and values of `frame`, row order included, index left out.

    Rows are hashed by pandas (64 bits a row, vectorised), the hashes by sha256: 1,000,000 rows
    in about a second. The digest does not depend on `values_repeat`: where texts hardly repeat,
    False takes a third of the time.
    """
    import pandas as pd

    digest = hashlib.sha256(
        canonical_json([[str(n), str(d)] for n, d in frame.dtypes.items()]).encode()
    )
    digest.update(
        pd.util.hash_pandas_object(frame, index=False, categorize=values_repeat)
        .to_numpy()
        .tobytes()
    )
    return digest.hexdigest()
