"""Settings: the only reader of the environment (`CHURN_*`), and the only writer of what the
libraries read from it.
"""

import getpass
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from churn_platform.base.errors import UsageError

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A variable of the environment inside a text: `${NAME}`."""
LIBRARY_ENVIRONMENT = {
    "DAGSTER_DISABLE_TELEMETRY": "yes",  # telemetry of every library off
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
    "DO_NOT_TRACK": "1",
    # No network and no work MLflow would do by itself: resolving requirements, a model
    # catalogue, uv.lock as artifact.
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_LOG_UV_FILES": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A server that restarts is waited for, for about a minute; then the run fails and is tried
    # again later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "GIT_PYTHON_REFRESH": "quiet",
    # Feast writes UTC without saying so: a Postgres of another time zone would move every row's
    # moment.
    "PGTZ": "UTC",
    "PGCONNECT_TIMEOUT": "10",
    # Beta and deprecation notices of the libraries' own internals are no news to a user.
    "PYTHONWARNINGS": "ignore",
}

PROFILE = "CHURN_PROFILE"
RETIRED = frozenset({"CHURN_OFFLINE_STORE", "CHURN_OFFLINE_PASSWORD"})
"""Settings of earlier versions; they have no effect, so a profile that still has them is read.
"""
KeyDigests = Annotated[str, Field(pattern=r"^([0-9a-f]{64}(,[0-9a-f]{64})*)?$")]


def environment_of(names: Iterable[str]) -> dict[str, str]:
    """The variables of these names that are set."""
    return {name: os.environ[name] for name in names if name in os.environ}


def _read_by_dagster(url: SecretStr) -> SecretStr:
    """Refuse a URL without its driver: SQLAlchemy 2.1 would take another, with which Dagster
    cannot NOTIFY.
    """
    if url.get_secret_value() and not url.get_secret_value().startswith("postgresql+psycopg2://"):
        raise ValueError("it should be postgresql+psycopg2://user:password@host:port/database")
    return url


class Settings(BaseSettings):
    """Read from the environment; every field can be set as `CHURN_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="CHURN_", frozen=True)

    home: Path = Field(
        default=Path("churn_home"), description="Folder that holds everything the loop writes."
    )
    contract: Path | None = Field(
        default=None,
        description=(
            "The contract; by default `contract.yaml` of the home, else the StreamFlow one of"
            " the package."
        ),
    )
    lake: str = Field(
        default="",
        description=(
            "Where a new home keeps the files of its lake, such as `s3://bucket/prefix`; empty:"
            " in the home. `churn lake --move` moves an existing one."
        ),
    )
    drops: str = Field(
        default="",
        description=(
            "Where drops are delivered besides the home, such as `s3://bucket/drops`; empty: in"
            " `drops/` of the home."
        ),
    )
    profile: Path | None = Field(
        default=None,
        description="A file of NAME=value lines. The environment takes precedence.",
    )
    dagster_postgres: Annotated[SecretStr, AfterValidator(_read_by_dagster)] = Field(
        default=SecretStr(""),
        description=(
            "URL of the Postgres database that holds Dagster's storage; empty: SQLite in the home."
        ),
    )
    mlflow_uri: str = Field(
        default="",
        pattern=r"^(https?://[^@/\s]+(/[^@\s]*)?)?$",
        description=(
            "MLflow's server, its login in MLFLOW_TRACKING_USERNAME and _PASSWORD; empty:"
            " SQLite in the home."
        ),
    )
    ui_port: int = Field(
        default=3000, ge=1, le=65535, description="Port of the Dagster UI on 127.0.0.1."
    )
    reports_port: int = Field(
        default=3001,
        ge=1,
        le=65535,
        description=("Port on 127.0.0.1 where `churn ui` shows the reports that the UI links to."),
    )
    reports_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description=(
            "Where the reports can be opened, when not on CHURN_REPORTS_PORT of 127.0.0.1."
        ),
    )
    quiet_seconds: float = Field(
        default=5.0,
        ge=0,
        description=("A drop without `_SUCCESS` is due when its files are unchanged for so long."),
    )
    lock_seconds: float = Field(
        default=600.0,
        ge=0,
        description="How long a run waits for another run of the same home before it gives up.",
    )
    api_port: int = Field(
        default=3002, ge=1, le=65535, description="Port of the API (`churn serve`)."
    )
    api_workers: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Processes that serve the API; one that dies leaves the others answering.",
    )
    api_address: str = Field(
        default="",
        pattern=r"^([^\s/@]+:[0-9]+)?$",
        description="`host:port` of the API, else CHURN_API_PORT here.",
    )
    api_keys: KeyDigests = Field(
        default="",
        description=(
            "sha256 of each API key, in hex, separated by commas; empty: no key is asked for."
        ),
    )
    metrics_keys: KeyDigests = Field(
        default="",
        description="sha256 of each key for /metrics alone; empty: an API key opens it.",
    )
    api_hosts: str = Field(
        default="",
        description=(
            "Names, separated by commas, under which the API may be called besides localhost."
        ),
    )
    online_store: str = Field(
        default="",
        description=(
            "Where the online features are: `redis://host:6379/0` or"
            " `postgresql://user@host/database`; empty: SQLite in the home."
        ),
    )
    online_password: SecretStr = Field(
        default=SecretStr(""), description="Its password; no file ever holds it."
    )
    feast_registry: str = Field(
        default="",
        description=(
            "Where Feast's definitions are: `postgresql://user@host/database`; empty: a file in"
            " the home."
        ),
    )
    feast_registry_password: SecretStr = Field(
        default=SecretStr(""), description="Password of that database; no file ever holds it."
    )
    exporter_port: int = Field(
        default=3003,
        ge=1,
        le=65535,
        description="Port of the metrics of the home (`churn exporter`).",
    )
    prediction_log: Path | None = Field(
        default=None,
        description=(
            "Folder of what the API answered; by default `predictions` of the home, and none"
            " for a Bento."
        ),
    )
    alert_urls: SecretStr = Field(
        default=SecretStr(""),
        description=(
            "Who hears of events: Apprise URLs, separated by blanks or lines; they hold secrets."
        ),
    )
    alert_urls_file: Path | None = Field(
        default=None,
        description="A file with those URLs, one per line, instead; `#` begins a comment.",
    )
    actor: str = Field(
        default="", description="Who acts, for the ledger; by default the login name."
    )

    @property
    def home_folder(self) -> Path:
        """The home as an absolute path."""
        return self.home.expanduser().resolve()

    @property
    def dagster_on_postgres(self) -> bool:
        """Whether Dagster's storage is on a server."""
        return bool(self.dagster_postgres.get_secret_value())

    @property
    def served_names(self) -> frozenset[str]:
        """The names of `api_hosts`."""
        return frozenset(name.strip().lower() for name in self.api_hosts.split(",") if name.strip())

    @property
    def alerts_wanted(self) -> bool:
        """Whether any receiver of alerts is set."""
        return self.alert_urls_file is not None or bool(self.alert_urls.get_secret_value().strip())

    def alert_receivers(self) -> tuple[str, ...]:
        """The URLs of those who hear of events; they hold secrets: never log or store them.

        Raises:
            UsageError: the file that `alert_urls_file` names cannot be read.
        """
        text = self.alert_urls.get_secret_value()
        if self.alert_urls_file is not None:
            path = self.alert_urls_file.expanduser()
            text += f"\n{_text_of('CHURN_ALERT_URLS_FILE', path)}"
        lines = [re.split(r"(?:^|\s)#", line, maxsplit=1)[0] for line in text.splitlines()]
        return tuple(dict.fromkeys(url for line in lines for url in line.split()))

    @property
    def who(self) -> str:
        """The acting person for receipts."""
        try:
            return self.actor or getpass.getuser()
        except (KeyError, OSError):  # in a container the user's number may have no name
            return "unknown"


def load_settings(home: Path | None = None) -> Settings:
    """The settings, with `home` from the command line over the environment's, and that over the
    profile's.

    Raises:
        UsageError: a variable cannot be read as its field, or the profile is not there or names
            no setting.
    """
    _read_profile()
    try:
        if home is None:
            return Settings()
        return Settings(home=home)
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> UsageError:
    return UsageError("; ".join(_said(fault) for fault in error.errors()), code="SETTING_INVALID")


def _said(fault: ErrorDetails) -> str:
    """The setting at fault and what it takes; its value where that is to be a number, for a
    text may hold a secret.
    """
    name = str(fault["loc"][0])
    field = Settings.model_fields[name]
    variable = f"CHURN_{name.upper()}"
    if field.annotation in (int, float):
        return f"{variable} is {fault['input']!r}: {fault['msg']}"
    return (
        f"{variable} has an invalid value (not shown, it may be a secret): {field.description}"
        f" {fault['msg']}"
    )


def read_only_settings(home: Path | None = None, contract: Path | None = None) -> Settings:
    """As `load_settings`, for a process of the user's own: the environment stays as it is.

    Args:
        home: over the environment's.
        contract: over the environment's.

    Raises:
        UsageError: as `load_settings`.
    """
    given: dict[str, object] = {
        name.removeprefix("CHURN_").lower(): value
        for name, value in _profile_values().items()
        if name.startswith("CHURN_") and name not in os.environ
    }
    if home is not None:
        given["home"] = home
    if contract is not None:
        given["contract"] = contract
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise _invalid(error) from None


def _read_profile() -> None:
    """Set the profile's values that the environment does not set, so libraries and child
    processes see it too.

    Raises:
        UsageError: as `_profile_values`.
    """
    for name, value in _profile_values().items():
        os.environ.setdefault(name, value)
    if os.environ.get(PROFILE):
        # Child processes run in the home.
        os.environ[PROFILE] = str(Path(os.environ[PROFILE]).expanduser().resolve())


def _profile_values() -> dict[str, str]:
    """The values of the profile; none without one.

    Raises:
        UsageError: there is no such file, or it sets a CHURN_ variable that is not a setting.
    """
    named = os.environ.get(PROFILE)
    if not named:
        return {}
    path = Path(named).expanduser().resolve()
    if not path.is_file():
        raise UsageError(f"{PROFILE} is {named!r}: there is no such file.", code="PROFILE_MISSING")
    known = {f"CHURN_{name.upper()}" for name in Settings.model_fields}
    values = dotenv_values(path, interpolate=False)
    found = {}
    for name, value in values.items():
        if name in RETIRED:
            continue
        if name.startswith("CHURN_") and name not in known:
            raise UsageError(
                f"{path} sets {name}, which is not a setting: docs/commands.md lists them.",
                code="SETTING_UNKNOWN",
            )
        if value is not None:
            found[name] = value
    return found


def expand(text: str) -> str:
    """`text` with each `${NAME}` replaced by that variable, or by the content of the file that
    NAME_FILE names.

    Raises:
        UsageError: a variable is not set, or its file cannot be read; no value is shown.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name in os.environ:
            return os.environ[name]
        file = os.environ.get(f"{name}_FILE")
        if file is None:
            raise UsageError(
                f"{name} is not set: set it, or {name}_FILE to a file that holds it.",
                code="SETTING_MISSING",
            )
        return _text_of(f"{name}_FILE", Path(file).expanduser()).strip()

    return REFERENCE.sub(value, text)


def _text_of(variable: str, path: Path) -> str:
    """The text of the file that a variable names."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no UTF-8 text"
        raise UsageError(
            f"{variable} names {path}, which cannot be read: {why}.",
            code="SETTING_FILE_UNREADABLE",
        ) from None


def prepare_environment(settings: Settings) -> None:
    """Set what the libraries read from the environment: telemetry off, Dagster's home, this
    home for child processes.

    What the user has set stays. Call it before the first heavy import.
    """
    for name, value in LIBRARY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Feast reads and writes SQLite's instants in the machine's time zone, and means UTC.
    os.environ["TZ"] = "UTC"
    time.tzset()
    os.environ["CHURN_HOME"] = str(settings.home_folder)
    contract = ""
    if settings.contract is not None:
        # Child processes run in the home: a relative path would lead elsewhere.
        contract = str(settings.contract.expanduser().resolve())
    handed_on = {
        "CHURN_CONTRACT": contract,
        "CHURN_DAGSTER_POSTGRES": settings.dagster_postgres.get_secret_value(),
        "CHURN_MLFLOW_URI": settings.mlflow_uri,
    }
    for name, value in handed_on.items():
        # Another home's, set earlier in this process, is not this one's.
        os.environ.pop(name, None)
        if value:
            os.environ[name] = value
    if settings.alert_urls_file is not None:
        os.environ["CHURN_ALERT_URLS_FILE"] = str(settings.alert_urls_file.expanduser().resolve())
    os.environ["DAGSTER_HOME"] = str(settings.home_folder / "dagster")


def dagster_is_temporary() -> bool:
    """Whether this is a process of `dagster dev` or `dg dev` without DAGSTER_HOME: its UI shows
    no run of any home.
    """
    return "DAGSTER_IS_DEV_CLI" in os.environ and not os.environ.get("DAGSTER_HOME")


def prepare_serving(settings: Settings, port: int, workers: int) -> None:
    """Set what BentoML and its workers read from the environment, for one server of this home.

    A BENTOML_HOME of each server's own: two that share one wipe each other's metrics.
    """
    prepare_environment(settings)
    os.environ["BENTOML_HOME"] = str(settings.home_folder / "serving" / str(port))
    os.environ["CHURN_API_PORT"] = str(port)
    os.environ["CHURN_API_WORKERS"] = str(workers)


def build_environment() -> dict[str, str]:
    """The environment of a tool that builds: that of the caller, telemetry off, without
    settings of any home.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHURN_")}
    return LIBRARY_ENVIRONMENT | kept
