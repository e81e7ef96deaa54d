"""HTML pages from Jinja2 templates, with every value escaped."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def render(template: Path, **values: object) -> str:
    """The page that a template makes of `values`; a value that it lacks is an error.

    Args:
        template: the file, next to the module that renders it. It may include or extend the
            templates of its own folder and of `churn_platform/base`.
        values: what the template shows.
    """
    return _environment(template.parent).get_template(template.name).render(values)


@cache
def _environment(folder: Path) -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["grouped"] = "{:,}".format
    environment.filters["repr"] = repr
    return environment
