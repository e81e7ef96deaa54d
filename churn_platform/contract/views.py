"""The contract as it applies to one month, and as one version of the model reads it."""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from churn_platform.contract.events import EventPopulation, NoEvent
from churn_platform.contract.parts import FeatureView, Table, TablePart

if TYPE_CHECKING:
    from churn_platform.contract.model import Contract

ALWAYS = dt.date.min
"""The `since` of parts and spellings in the contract of one month, which has no dates."""
MEANING = ("dtype", "values", "min", "max", "nullable", "description", "phrase")
"""The fields of a column that a version keeps as they were when it was trained."""


def boundaries(contract: "Contract") -> list[dt.date]:
    """The months from which on the contract describes other drops, ascending."""
    days: set[dt.date | None] = {contract.label.since}
    days |= {one.since for one in contract.label.earlier}
    for table in contract.tables.values():
        days |= {table.since, table.until, *table.files.values()}
        days |= {part.since for part in table.parts.values()}
        days |= {spelling.since for spelling in table.key_spellings}
        for column in table.columns.values():
            days |= {column.since, column.until, *column.sources.values()}
            days |= {old.since for old in column.renamed.values() if not isinstance(old, str)}
    return sorted(day for day in days - {None, ALWAYS} if day is not None)


def of_month(contract: "Contract", as_of: dt.date) -> "Contract":
    """The contract of one month, without dates: the tables and columns that its drop has, the
    names that its files use, and its definition of the label.

    Raises:
        ValidationError: no consistent contract is left for the month.
    """
    tables = {
        name: _of_month(table, as_of)
        for name, table in contract.tables.items()
        if table.active(as_of) and any(c.active(as_of) for c in table.columns.values())
    }
    views = {
        name: view.model_copy(update={"features": kept})
        for name, view in contract.feature_views.items()
        if view.table in tables
        and (kept := tuple(f for f in view.features if f in tables[view.table].features))
    }
    known = {name for table in tables.values() for name in table.features}
    contacts = contract.contacts
    return contract.changed(
        contacts=contacts if contacts is not None and contacts.table in tables else None,
        do_not_contact=_named_in(tables, contract.do_not_contact),
        tables=tables,
        label=contract.label.at(as_of).model_copy(update={"since": None}),
        feature_views=views,
        slices=tuple(name for name in contract.slices if name in known),
    )


def as_delivered(month: "Contract") -> "Contract":
    """The contract of one month with each file that holds a part of a table as a table of its
    own, as the drop has them.
    """
    tables = dict(month.tables)
    views = dict(month.feature_views)
    for name, table in month.tables.items():
        for stem, part in table.parts.items():
            tables[stem] = _part(table, part.columns).model_copy(update={"file": part.file})
        if table.parts:
            moved = {column for part in table.parts.values() for column in part.columns}
            tables[name] = _part(table, [c for c in table.columns if c not in moved]).model_copy(
                update={"file": table.file, "source": table.source}
            )
    for name, view in month.feature_views.items():
        if not month.tables[view.table].parts:
            continue
        del views[name]
        for place in (view.table, *month.tables[view.table].parts):
            held = {*tables[place].columns, *tables[place].ages}
            features = tuple(feature for feature in view.features if feature in held)
            if features:
                views[f"{name}_{place}"] = FeatureView(table=place, features=features)
    return month.changed(tables=tables, feature_views=views)


def of_version(contract: "Contract", as_of: dt.date, features: Collection[str]) -> "Contract":
    """What a version reads and predicts: the entity, these features with their columns, and the
    label as defined in its newest training month.
    """
    label = contract.label.at(as_of)
    views = {
        name: view.model_copy(update={"features": kept})
        for name, view in contract.feature_views.items()
        if (kept := tuple(f for f in view.features if f in features))
    }
    wanted: dict[str, set[str]] = {label.table: {label.column}}
    for name, columns in columns_of_inactivity(contract).items():
        wanted.setdefault(name, set()).update(columns)
    for view in views.values():
        wanted.setdefault(view.table, set()).update(view.features)
    tables = {
        name: _reduced(table, wanted[name])
        for name, table in contract.tables.items()
        if name in wanted
    }
    if label.no_event is None:
        tables[label.table] = _always(tables[label.table], label.column)
    return contract.changed(
        tables=tables,
        label=label,
        feature_views=views,
        slices=(),
        costs=None,
        policy=None,
        contacts=None,
        do_not_contact=None,
    )


def columns_of_inactivity(contract: "Contract") -> dict[str, set[str]]:
    """Event table -> the columns that an inactivity label is made from; empty without one."""
    no_event = contract.label.no_event
    if no_event is None:
        return {}
    found: dict[str, set[str]] = {}
    parts: list[NoEvent | EventPopulation] = [no_event]
    if no_event.population is not None:
        parts.append(no_event.population)
    for part in parts:
        log = contract.tables[part.table]
        named = {log.time, log.known_at, log.id} & set(log.columns)
        columns = {name for name in named if name is not None} | log.columns_picked(part.where)
        found.setdefault(part.table, set()).update(columns)
    return found


def for_version(contract: "Contract", version: "Contract") -> "Contract":
    """The contract in use, with the features and the label of a version in its own words.

    Args:
        contract: the contract in use, which has the features of the version
            (`with_versions`); they stay in its views, where the online store has them.
        version: what the version reads (`of_version`).

    Raises:
        ValidationError: the version cannot be read with this contract (`why_not_readable`).
    """
    tables = dict(contract.tables)
    for name, table in version.tables.items():
        columns = dict(contract.tables[name].columns)
        for own, column in table.columns.items():
            meaning = {part: getattr(column, part) for part in MEANING}
            columns[own] = columns[own].model_copy(update=meaning)
        made = {
            "ages": {**contract.tables[name].ages, **table.ages},
            "windows": {**contract.tables[name].windows, **table.windows},
        }
        tables[name] = contract.tables[name].model_copy(update={"columns": columns, **made})
    if version.label.no_event is None:
        tables[version.label.table] = _always(tables[version.label.table], version.label.column)
    views = {
        name: view.model_copy(update={"features": kept})
        for name, view in contract.feature_views.items()
        if (kept := tuple(f for f in view.features if f in version.features))
    }
    return contract.changed(tables=tables, label=version.label, feature_views=views)


def why_not_readable(contract: "Contract", version: "Contract") -> str:
    """Why a version cannot be scored with the tables of the contract in use; empty if it can."""
    if contract.entity.column != version.entity.column:
        return f"its key is {version.entity.column!r}, now {contract.entity.column!r}"
    if contract.entity.dtype != version.entity.dtype:
        return f"the dtype of its key was {version.entity.dtype} and is {contract.entity.dtype}"
    for name, table in version.tables.items():
        if name not in contract.tables:
            return f"the contract no longer has its table {name!r}"
        why_not = _why_not_in(name, contract.tables[name], table)
        if why_not:
            return why_not
    label = contract.label
    views = version.feature_views.values()
    if any(v.table == label.table and label.column in v.features for v in views):
        return f"its feature {label.table}.{label.column} is the label now"
    return ""


def _why_not_in(name: str, now: Table, table: Table) -> str:
    """Why the columns and ages that a version reads of a table are not those of today."""
    for own, column in table.columns.items():
        if own not in now.columns:
            return f"the contract no longer has its column {name}.{own}"
        if now.columns[own].dtype != column.dtype:
            retyped = f"was {column.dtype} and is {now.columns[own].dtype}"
            return f"the dtype of its column {name}.{own} {retyped}"
    for own, spec in table.ages.items():
        if own in now.columns:
            return f"its age {name}.{own} is a column now"
        if own in now.ages and (now.ages[own].of, now.ages[own].unit) != (spec.of, spec.unit):
            return f"its age {name}.{own} is made in another way now"
    for own, window in table.windows.items():
        if own in now.columns:
            return f"its window {name}.{own} is a column now"
        if own in now.windows and now.windows[own].made_of != window.made_of:
            return f"its window {name}.{own} is made in another way now"
    return ""


def with_version(contract: "Contract", version: "Contract") -> "Contract":
    """The contract with the features of a version that it no longer names, so their values stay
    available; the contract itself if it names all of them, or cannot read the version.

    Raises:
        ValidationError: the two contradict each other.
    """
    if why_not_readable(contract, version):
        return contract
    views = dict(contract.feature_views)
    tables = dict(contract.tables)
    for name, view in version.feature_views.items():
        added = tuple(f for f in view.features if f not in contract.features)
        if not added:
            continue
        _add_features(views, name, view.model_copy(update={"features": added}))
        known = version.tables[view.table].ages
        ages = tables[view.table].ages | {f: known[f] for f in added if f in known}
        made = version.tables[view.table].windows
        windows = tables[view.table].windows | {f: made[f] for f in added if f in made}
        own = {"ages": ages, "windows": windows}
        tables[view.table] = tables[view.table].model_copy(update=own)
    if views == contract.feature_views:
        return contract
    return contract.changed(tables=tables, feature_views=views)


def with_versions(contract: "Contract", versions: Iterable["Contract"]) -> "Contract":
    """The contract with the features of all versions that do not contradict it (`with_version`)."""
    for version in versions:
        with suppress(ValidationError):
            contract = with_version(contract, version)
    return contract


def with_features(contract: "Contract", features: Iterable[str]) -> "Contract":
    """The contract with columns of its tables as features, if they are not features already."""
    views = dict(contract.feature_views)
    for feature in features:
        table = contract.table_of(feature)
        if table is not None and feature not in contract.features:
            _add_features(views, f"{table}_fv", FeatureView(table=table, features=(feature,)))
    if views == contract.feature_views:
        return contract
    return contract.changed(feature_views=views)


def _add_features(views: dict[str, FeatureView], name: str, added: FeatureView) -> None:
    """Add the features of a view to the first view of its table, else as a view of this name."""
    for place, view in views.items():
        if view.table == added.table:
            features = (*view.features, *added.features)
            views[place] = view.model_copy(update={"features": features})
            return
    views[f"{name}_{added.table}" if name in views else name] = added


def learned_features(
    contract: "Contract", newest: dt.date, matured: Collection[dt.date]
) -> tuple[str, ...]:
    """The features that a candidate learns from: those that the newest month has, and that
    enough months have if they are new.

    Args:
        contract: the contract.
        newest: the newest published month.
        matured: the months with matured labels.
    """
    enough = contract.policy.training.new_column_months
    chosen = []
    for view in contract.feature_views.values():
        for feature in view.features:
            months = [m for m in matured if contract.has_column(view.table, feature, m)]
            new = not all(contract.has_column(view.table, feature, m) for m in matured)
            if contract.has_column(view.table, feature, newest) and (
                not new or len(months) >= enough
            ):
                chosen.append(feature)
    return tuple(chosen)


def ended_features(contract: "Contract", as_of: dt.date) -> tuple[str, ...]:
    """The features whose table or column has ended by a month."""
    ended = []
    for view in contract.feature_views.values():
        table = contract.tables[view.table]
        for feature in view.features:
            if feature in table.windows:
                behind = table.columns_behind(feature)
            else:
                behind = {table.ages[feature].of if feature in table.ages else feature}
            ends = [table.until, *(table.columns[own].until for own in behind)]
            if any(end is not None and as_of >= end for end in ends):
                ended.append(feature)
    return tuple(ended)


def lacking_features(contract: "Contract", months: Sequence[dt.date]) -> dict[str, dt.date]:
    """The features that one of the months does not have, each with the first such month."""
    found = {}
    for view in contract.feature_views.values():
        for feature in view.features:
            for month in months:
                if not contract.has_column(view.table, feature, month):
                    found[feature] = month
                    break
    return found


def _named_in(tables: dict[str, Table], named: str | None) -> str | None:
    """A column that is named as `table.column`, if the tables have it."""
    table, _, column = (named or "").partition(".")
    return named if table in tables and column in tables[table].columns else None


def _of_month(table: Table, as_of: dt.date) -> Table:
    columns = {
        name: column.model_copy(
            update={
                "since": None,
                "until": None,
                "renamed": column.names_kept(as_of),
                "source": column.header(as_of),
                "sources": {},
            }
        )
        for name, column in table.columns.items()
        if column.active(as_of)
    }
    parts = {
        stem: TablePart(columns=held, since=ALWAYS, file=part.file)
        for stem, part in table.parts.items()
        if as_of >= part.since and (held := tuple(c for c in part.columns if c in columns))
    }
    spelling = table.key_spelling(as_of)
    spellings = () if spelling is None else (spelling.model_copy(update={"since": ALWAYS}),)
    return table.model_copy(
        update={
            "columns": columns,
            "ages": {name: age for name, age in table.ages.items() if age.of in columns},
            "windows": {
                name: window
                for name, window in table.windows.items()
                if table.columns_behind(name) <= set(columns)
            },
            "since": None,
            "until": None,
            "parts": parts,
            "file": table.file_name(as_of),
            "files": {},
            "key_spellings": spellings,
        }
    )


def _always(table: Table, column: str) -> Table:
    """A table whose column has no dates: a version's label column may have ended since."""
    dateless = table.columns[column].model_copy(update={"since": None, "until": None})
    return table.model_copy(update={"columns": {**table.columns, column: dateless}})


def _reduced(table: Table, wanted: Collection[str]) -> Table:
    """A table with the wanted columns, ages and windows alone."""
    if table.kind == "events":
        windows = {name: window for name, window in table.windows.items() if name in wanted}
        held = set(wanted).union(*(table.columns_behind(name) for name in windows))
        columns = {name: column for name, column in table.columns.items() if name in held}
        described = {"columns": columns, "windows": windows, "source": None, "file": ""}
        return table.model_copy(update=described)
    ages = {name: age for name, age in table.ages.items() if name in wanted}
    dates = {age.of for age in ages.values()}
    return Table(
        columns={n: c for n, c in table.columns.items() if n in wanted or n in dates},
        ages=ages,
        description=table.description,
    )


def _part(table: Table, columns: Iterable[str]) -> Table:
    """Some columns of a table as a table of its own, with the ages made from them."""
    held = {name: table.columns[name] for name in columns}
    ages = {name: age for name, age in table.ages.items() if age.of in held}
    return Table(
        columns=held, ages=ages, description=table.description, key_spellings=table.key_spellings
    )
