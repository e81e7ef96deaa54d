"""The smallest contract around some columns: a table of facts, and a table of who left."""

from churn_platform.contract.model import Contract


def shop(columns, *, key="string", label="boolean"):
    """A contract whose table `facts` has `columns`; all but dates and texts are features."""
    features = [
        name for name, column in columns.items() if column["dtype"] not in ("string", "date")
    ]
    left = {"left": {"dtype": label, "nullable": True}}
    return Contract.model_validate(
        {
            "name": "shop",
            "model_name": "shop_churn",
            "entity": {"column": "key", "dtype": key},
            "tables": {"facts": {"columns": columns}, "ends": {"columns": left}},
            "label": {"table": "ends", "column": "left"},
            "feature_views": {"facts_fv": {"table": "facts", "features": features}},
        }
    )
