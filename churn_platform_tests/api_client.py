"""What the tests of serving share: releases of boosted trees on the gym's home, and the API on it in this process."""

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import yaml
from prometheus_client import CollectorRegistry

from bento.metrics import ApiMetrics
from bento.server import ApiServer
from churn_platform.base.digests import canonical_json
from churn_platform.base.settings import Settings
from churn_platform.contract.views import of_version
from churn_platform.features.training_dataset import LABEL
from churn_platform.ledger.receipts import GENESIS
from churn_platform.promotion.publishing import manifest_fields
from churn_platform.services import Services
from churn_platform.training.candidate import FILES, Candidate
from churn_platform.training.model import ChurnModel, Recipe, serving_files
from churn_platform.training.release import PASSPORT, FeatureSpec, ModelCard
from churn_platform_tests.small_business import JANUARY, open_home

PAST = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)


FEWER = {"members_fv": {"table": "members", "features": ["months", "plan"]}}
"""Feature views without `has_app` and `hours`: `with_contract(home, feature_views=FEWER)`."""


def boosted(home: Services, seed: int = 7, trees: str = "lightgbm") -> ChurnModel:
    """A model fitted on the gym's January; another seed is another model."""

    rows = home.training_datasets.load(JANUARY).training_rows()
    rows = rows.sample(frac=0.8, random_state=seed)
    features = tuple((name, column.dtype) for name, column in home.contract.features.items())
    return Recipe(trees, seed, features, home.contract.costs).fit(rows, rows[LABEL], rows["member"])


def publish(
    home: Services,
    version: int,
    model: ChurnModel,
    card: dict[str, Any] | None = None,
    **changes: Any,
) -> None:
    """Publish a model under the home's contract, as a promotion does; `changes` replace fields of its manifest,
    `card` those of its model card (`{"contract": None}`: as an earlier platform wrote it)."""

    old = home.releases.path(1, PASSPORT).read_bytes()
    own = of_version(home.contract, JANUARY, tuple(home.contract.features))
    made = ModelCard.model_validate_json(old).model_copy(
        update={
            "algorithm": "lightgbm",
            "features": [
                FeatureSpec(name=n, dtype=c.dtype) for n, c in home.contract.features.items()
            ],
            "threshold": model.threshold,
            "contract_hash": home.contract.model_hash,
            "digest": f"{version:064x}",
            "contract": own.written(),
            **(card or {}),
        }
    )
    rows = home.training_datasets.load(JANUARY).training_rows()
    manifest = {
        **manifest_fields(Candidate(model, made, None, version), rows, home.now().isoformat()),
        **changes,
    }
    others = {
        name: (home.releases.folder / "1" / name).read_bytes()
        for name in FILES
        if name != "model.skops"
    }
    others[PASSPORT] = canonical_json(made.as_json()).encode()
    home.releases.publish(
        version, {"model.skops": model.to_bytes(), **others, **serving_files(model)}, manifest
    )


def with_contract(home: Services, **changes: Any) -> Services:
    """The home after somebody replaced parts of its contract file."""
    declared = yaml.safe_load((home.folder / "contract.yaml").read_text(encoding="utf-8"))
    (home.folder / "contract.yaml").write_text(
        yaml.safe_dump(declared | changes, sort_keys=False), encoding="utf-8"
    )
    return open_home(home.folder)


def point(home: Services, version: int, activate_at: dt.datetime = PAST) -> None:
    """Put a published version into production."""
    home.releases.point(
        version, ledger_head=GENESIS, activate_at=activate_at.isoformat(), as_of=JANUARY.isoformat()
    )


@contextlib.contextmanager
def running(home: Services, **settings: Any) -> Iterator[ApiServer]:
    """The API on a home, in this process, without BentoML."""
    server = ApiServer(Settings(home=home.folder, **settings), ApiMetrics(CollectorRegistry()))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def client(server: ApiServer, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    """A client that is connected to a server in this process; `address` is the server's own."""
    transport = httpx.ASGITransport(server)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{address}:3002") as made:
        yield made
