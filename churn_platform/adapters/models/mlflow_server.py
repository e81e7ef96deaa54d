"""MLflow as a server: whether it answers, and which home owns a registered model there.

Belongs here: what differs from a home's own store. Does not: what is registered (`model_registry.py`).
A home keeps its models in one place. Versions are counted from 1 in each place, so a home that looked in the other one
would take another model for its own: both mistakes are refused.
"""

import secrets
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from churn_platform.adapters.files import read_json, write_json
from churn_platform.errors import StoreDown, UsageError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

MARKER = "mlflow_server.json"
"""In a home whose models are on a server: the name under which it owns them, not the address."""
OWNER = "churn.home"
PATIENCE = 5.0


class MlflowServer:
    """The server at `uri`, as one home uses it."""

    def __init__(self, home: Path, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._marker = home / MARKER

    def away(self) -> str | None:
        """Why the server cannot be used now, as a sentence; None when it answers. Asks once, for a few seconds."""
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=PATIENCE):  # noqa: S310 - http(s) by the settings
                return None
        except (urllib.error.URLError, OSError) as error:
            return f"MLflow at {self.uri} does not answer ({getattr(error, 'reason', error)})."

    def down(self, error: Exception) -> StoreDown:
        """The error for a request that failed for another reason than that a thing is not there."""
        return StoreDown(
            f"MLflow at {self.uri} did not answer as it should ({str(error).splitlines()[0][:200]}): check the server "
            "and its login, then run this again."
        )

    def claim(self, client: "MlflowClient", model_name: str) -> None:
        """Create the experiment and the registered model of this home, once.

        Raises:
            UsageError: the registered model there is another home's.
            StoreDown: the server does not answer, or not to this login.
        """
        from mlflow.exceptions import MlflowException

        try:
            if client.get_experiment_by_name(model_name) is None:
                client.create_experiment(model_name)  # artifacts go through the server, wherever that keeps them
            found = client.search_registered_models(f"name='{model_name}'")
            owner = found[0].tags.get(OWNER) if found else None
            mine = str(read_json(self._marker)["owner"]) if self._marker.exists() else secrets.token_hex(8)
            if owner is not None and owner != mine:
                raise UsageError(
                    f"{model_name} at {self.uri} belongs to another home: give this one a server of its own, or its "
                    "contract another model name."
                )
            # The marker first: a kill after it leaves a home that is told where it belongs, not a model without owner.
            write_json(self._marker, {"owner": mine})
            if not found:
                client.create_registered_model(model_name, tags={OWNER: mine})
            elif owner is None:
                client.set_registered_model_tag(model_name, OWNER, mine)
        except MlflowException as error:
            raise self.down(error) from error


def check_place(home: Path, *, on_server: bool) -> None:
    """Refuse to look for a home's models where they are not.

    Raises:
        UsageError: they are in the home and the settings name a server, or the other way round.
    """
    if on_server and (home / "mlflow.db").exists() and not (home / MARKER).exists():
        raise UsageError(
            f"The models of this home are in its own MLflow store ({home / 'mlflow.db'}), and CHURN_MLFLOW_URI names a "
            "server: unset it, or take the home there with `churn move`."
        )
    if not on_server and (home / MARKER).exists():
        raise UsageError(
            "The models of this home are on an MLflow server, and CHURN_MLFLOW_URI is not set: set it, or name the "
            "profile that does with CHURN_PROFILE."
        )
