"""`churn import-model`."""

from pathlib import Path
from typing import Annotated

import typer

from churn_platform.base.text import parse_as_of
from churn_platform.cli.base import HomeOption, JsonOption, open_home
from churn_platform.cli.promotion import ByOption, ReasonOption, say_and_score


def import_model(
    source: Annotated[
        str, typer.Argument(help="Name a file, an MLflow folder, models:/... or runs:/...")
    ],
    by: ByOption,
    reason: ReasonOption,
    trained_on: Annotated[
        Path | None,
        typer.Option("--trained-on", help="Read the customers it was trained on (CSV, Parquet)."),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Record the newest month it was trained on.")
    ] = None,
    features: Annotated[
        str | None,
        typer.Option("--features", help="Name the features in its order, with commas between."),
    ] = None,
    positive_class: Annotated[
        str | None, typer.Option("--positive-class", help="Name the class that is churn.")
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", help="Predict churn from this probability on.")
    ] = 0.5,
    trust_code: Annotated[
        bool,
        typer.Option("--trust-code", help="Read a pickle once, which runs the code in it."),
    ] = False,
    tracking_uri: Annotated[
        str,
        typer.Option("--tracking-uri", help="Look MLflow addresses up here (default: the home)."),
    ] = "",
    serve: Annotated[
        bool | None,
        typer.Option(
            "--serve/--no-serve",
            help="Put it into production (default: only if nothing ever was).",
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import a model that was trained elsewhere as the next version."""
    from churn_platform.promotion.model_imports import ModelSource

    opened = open_home(home)
    asked = ModelSource(
        source=source,
        by=by,
        reason=reason,
        trained_on=trained_on,
        as_of=None if as_of is None else parse_as_of(as_of),
        features=() if features is None else tuple(n.strip() for n in features.split(",")),
        positive_class=positive_class,
        threshold=threshold,
        trust_code=trust_code,
        tracking_uri=tracking_uri,
        serve=serve,
    )
    done = opened.model_imports.run(asked)
    say_and_score(opened, done.version, done.sentence, as_json=as_json)
