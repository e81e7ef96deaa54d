"""What a version showed as a shadow, for whoever decides on it."""

from churn_platform.lake.records import Records


def shadow_sentence(records: Records, version: int) -> str | None:
    """What a version showed in the newest month in which it was a shadow; None if it never was
    one.
    """
    for month in reversed(records.months("experiments")):
        record = records.read("experiments", month) or {}
        for shadow in record.get("shadows", ()):
            if shadow.get("version") == version and shadow.get("sentence"):
                return str(shadow["sentence"])
    return None
