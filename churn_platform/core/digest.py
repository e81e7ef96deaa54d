"""Digests: one canonical JSON and one sha256 for everything that is compared later.

Belongs here: how a value or a frame becomes a digest. Does not: where digests are kept.
"""

import hashlib
import json
from typing import Any

import pandas as pd


def canonical_json(value: Any) -> str:  # noqa: ANN401 - whatever json can hold
    """`value` as JSON with sorted keys and no white space; NaN and infinity are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:  # noqa: ANN401 - whatever json can hold
    """Hex sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def frame_digest(frame: pd.DataFrame) -> str:
    """Hex sha256 over names, dtypes and values of `frame`, row order included, index left out.

    Rows are hashed by pandas (64 bits a row, vectorised), the hashes by sha256: 1,000,000 rows in about a second.
    """
    digest = hashlib.sha256(canonical_json([[str(n), str(d)] for n, d in frame.dtypes.items()]).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False, categorize=True).to_numpy().tobytes())
    return digest.hexdigest()
