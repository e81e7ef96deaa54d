"""Asks an opened home everything that the Python API can answer."""

import churn_platform as churn


def ask_everything(home):
    """Call every method of the API; the names that were called."""
    rows = home.features()
    model = home.model()
    for ask in (model.predict_proba, model.contributions, model.reasons):
        ask(rows.head(20))
    asked = {"features", "model"}
    for name in dir(home):
        if name.startswith("_") or name in {"folder", "plot", *asked}:
            continue
        arguments = ["visits"] if name == "snapshot" else []
        with_a_sentence(getattr(home, name), *arguments)
        asked.add(name)
    for name in [name for name in dir(home.plot) if not name.startswith("_")]:
        with_a_sentence(getattr(home.plot, name))
        asked.add(f"plot.{name}")
    home._repr_html_()
    model._repr_html_()
    home.decision()._repr_html_()
    return asked


def with_a_sentence(ask, *arguments):
    try:
        return ask(*arguments)
    except churn.ChurnError:
        return None
