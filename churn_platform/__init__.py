"""A churn model that keeps itself honest. `import churn_platform as churn` is its Python API
(docs/python.md); the modules behind it are imported when they are used.
"""

__version__ = "0.2.0"
__all__ = [
    "ChurnError",
    "HomePlots",
    "OpenedDecision",
    "OpenedHome",
    "OpenedModel",
    "__version__",
    "open",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from churn_platform.base.errors import ChurnError
    from churn_platform.notebooks.opened_decision import OpenedDecision
    from churn_platform.notebooks.opened_home import OpenedHome
    from churn_platform.notebooks.opened_home import open_home as open  # noqa: A004
    from churn_platform.notebooks.opened_model import OpenedModel
    from churn_platform.notebooks.plots import HomePlots
else:
    _PLACES = {
        "ChurnError": ("base.errors", "ChurnError"),
        "HomePlots": ("notebooks.plots", "HomePlots"),
        "OpenedDecision": ("notebooks.opened_decision", "OpenedDecision"),
        "OpenedHome": ("notebooks.opened_home", "OpenedHome"),
        "OpenedModel": ("notebooks.opened_model", "OpenedModel"),
        "open": ("notebooks.opened_home", "open_home"),
    }

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module, attribute = _PLACES[name]
        return getattr(import_module(f"{__name__}.{module}"), attribute)

    def __dir__() -> list[str]:
        return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
