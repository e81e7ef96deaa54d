"""What each error code means and what to do: the source of "Error codes" in
docs/troubleshooting.md.
"""

from typing import NamedTuple

from churn_platform.base.library_errors import LIBRARY_ERRORS


class ErrorCode(NamedTuple):
    """The explanation of one code."""

    meaning: str
    remedy: str


RESTORE = "Restore the home from a backup: `churn restore FILE --home NEW`."
READ = "Fix what the message names, then run the command again."
DECIDED = "`churn history` lists the versions and the decisions."

ERROR_CODES = {
    "ACT_UNKNOWN": ErrorCode(
        "`history --act` names an act that does not exist.",
        "Use an act that the message lists.",
    ),
    "ALERTS_NOT_CONFIGURED": ErrorCode(
        "`churn alert` has no channel to send to.",
        "Set `CHURN_ALERT_URLS` or `CHURN_ALERT_URLS_FILE`.",
    ),
    "ALERT_NOT_SENT": ErrorCode(
        "A channel did not accept the alert.",
        "Check its URL and whether its server answers, then run `churn alert` again.",
    ),
    "API_KEY_MISSING": ErrorCode(
        "`churn serve --host` opens the API to other machines without API keys.",
        "Set `CHURN_API_KEYS`, or serve on 127.0.0.1.",
    ),
    "APPROVAL_NOT_POSSIBLE": ErrorCode(
        "The version does not wait for an approval, or its decision refused it.",
        "`churn decision` shows why. `churn approve --override` promotes a refused version.",
    ),
    "BACKUP_DAMAGED": ErrorCode(
        "The file is not a backup, or does not match its manifest. Nothing was restored.",
        "Restore another backup.",
    ),
    "BACKUP_MISSING": ErrorCode("No backup was found at this path.", "Check the path."),
    "CANARY_AT_LAST_STEP": ErrorCode(
        "The canary answers the share of its last step and cannot be raised further.",
        "Promote its version, or end it with `churn canary --end`.",
    ),
    "COLUMN_MISSING": ErrorCode(
        "Python: a frame lacks a column that the version reads.",
        "Take the rows from `home.features()`, or add the column that the message names.",
    ),
    "CONTACTS_NOT_DECLARED": ErrorCode(
        "The contract names no table of contacts, or one that is read from a database.",
        "Add `contacts` to the contract, or record the contacts in the database.",
    ),
    "CONTACTS_UNKNOWN": ErrorCode(
        "No month of the home has a customer of the file.",
        "Check that the file is of this home and that its keys are written as in the drops.",
    ),
    "CONTACT_PLAN_CHANGED": ErrorCode(
        "The rows of a contact plan are not those that the ledger registered.",
        "Restore the file from a backup; `churn verify` names the month.",
    ),
    "CONTACT_VALUE": ErrorCode(
        "A customer has no usable value, so the list cannot be ranked.",
        "Correct the column that `policy.contacts.value` names, or give one number for all.",
    ),
    "CONTRACT_CHANGED": ErrorCode(
        "Published months or released versions do not allow this change of the contract.",
        "Change it in the way that the message names. [changing-the-contract.md]"
        "(changing-the-contract.md#what-is-refused) lists the ways that work.",
    ),
    "CONTRACT_EXISTS": ErrorCode(
        "A draft would replace a contract, or would not be used.",
        "Move the contract away, or draft into another home.",
    ),
    "CONTRACT_INVALID": ErrorCode(
        "The contract has an error, or data does not match it.",
        "Fix the lines that the message names. `churn contract check` checks the file.",
    ),
    "CONTRACT_MISSING": ErrorCode(
        "No contract or policy file was found at this path.",
        "Check the path, or write one with `churn init`.",
    ),
    "CUSTOMER_INVALID": ErrorCode(
        "The key cannot be a key of this contract.",
        "Give the key as it is written in the drops.",
    ),
    "CUSTOMER_LIST_INVALID": ErrorCode(
        "The list of customers that a model was trained on cannot be used: it has no column with"
        " the key, no customer, or keys that are written in another way than in the drops.",
        "Export the keys as the drops have them, one column. Without a list, leave it out.",
    ),
    "CUSTOMER_UNKNOWN": ErrorCode("No customer has this key.", "Check the key and the month."),
    "DATA_UNSUITABLE": ErrorCode("The data cannot support this step.", READ),
    "DATE_INVALID": ErrorCode(
        "A date cannot be read or is out of range.",
        "Write it as 2024-01-31.",
    ),
    "DECISION_MISSING": ErrorCode(
        "No decision was made on this version or for this month.",
        DECIDED,
    ),
    "DISK_FULL": ErrorCode(
        "The disk is full. Nothing was half published.",
        "Free some space, then run the same command again.",
    ),
    "DRAFT_IMPOSSIBLE": ErrorCode("No contract can be drafted from these files.", READ),
    "DROPS_UNREACHABLE": ErrorCode(
        "The place of `CHURN_DROPS` does not answer, or refuses this login.",
        "Check its address, its bucket and the login in the environment. `churn doctor` tries it.",
    ),
    "DROP_MISSING": ErrorCode(
        "No files of the contract's tables were found.",
        "Check the path and the names of the files.",
    ),
    "DROP_REFUSED": ErrorCode(
        "The drop does not match the contract. Nothing was published.",
        "Fix the faults in `reports/<as_of>/drop.html`, then run again. [drops.md](drops.md)"
        " explains each fault.",
    ),
    "DURATION_INVALID": ErrorCode(
        "A duration is not written as a number with a unit.",
        "Write it as 30m, 12h, 1d or 1w.",
    ),
    "ESTIMATOR_FAILED": ErrorCode(
        "The estimator of the contract raises an error, or gives something that is not a"
        " probability.",
        "Correct its code or its parameters. `churn contract check` tries it.",
    ),
    "ESTIMATOR_INVALID": ErrorCode(
        "The entry point does not give a classifier that scikit-learn can fit and clone.",
        "Return a classifier with `fit`, `predict_proba`, `get_params` and `set_params`.",
    ),
    "ESTIMATOR_NOT_FOUND": ErrorCode(
        "There is no module, or no function or class, as `policy.training.estimator` names it.",
        "Put the module next to the contract, install it, or correct the name.",
    ),
    "ESTIMATOR_NOT_STORABLE": ErrorCode(
        "The fitted estimator contains a type that cannot be stored without code.",
        "Use the classes that [your-own-model.md](your-own-model.md#what-can-be-stored) lists.",
    ),
    "ESTIMATOR_PARAMETER_UNKNOWN": ErrorCode(
        "The algorithm or the estimator has no such parameter.",
        "Correct the name in `policy.training.parameters`.",
    ),
    "EVENT_VALUE_TOO_LARGE": ErrorCode(
        "A number of an event is too large to be summed exactly.",
        "Give the column a `min` and `max` in the contract, so that such values are quarantined.",
    ),
    "EXPERIMENT_RUNNING": ErrorCode(
        "The version or rule is a shadow already, or another canary or test runs.",
        "End the one that runs: `churn shadow --end`, `churn canary --end`, `churn test --end`.",
    ),
    "EXPERIMENT_UNKNOWN": ErrorCode(
        "There is no such shadow, canary or test.",
        "`churn shadow`, `churn canary` and `churn test` list what runs.",
    ),
    "FAILED": ErrorCode("A command failed.", READ),
    "FILE_DENIED": ErrorCode(
        "This user may not read or write a file.",
        "Change its owner or its mode.",
    ),
    "FILE_SYSTEM_READ_ONLY": ErrorCode(
        "The home is on a read-only file system.",
        "Mount it writable, or choose another folder.",
    ),
    "FILE_UNREADABLE": ErrorCode(
        "A file cannot be read as what it should be.",
        f"Correct the file. If it belongs to the home: `churn verify --deep` names it. {RESTORE}",
    ),
    "HEADER_MISSING": ErrorCode(
        "A file has no line with the names of its columns.",
        "Add one above the other lines.",
    ),
    "HOME_BUSY": ErrorCode(
        "Another process works on this home.",
        "Wait for it. The message and `churn doctor` name it.",
    ),
    "HOME_LAYOUT_UNKNOWN": ErrorCode(
        "The home was written by a version with another layout.",
        "Use the version that wrote it.",
    ),
    "HOME_MISSING": ErrorCode(
        "No home was found at this path.",
        "Check `--home` and `CHURN_HOME`, or create one with `churn init`.",
    ),
    "HOME_NOT_EMPTY": ErrorCode(
        "The command needs an empty folder.",
        "Name an empty folder with `--home`.",
    ),
    "INTEGRITY_BROKEN": ErrorCode(
        "Something written earlier does not match its digest.",
        f"`churn verify --deep` names it, `churn doctor --fix` repairs what it can. {RESTORE}",
    ),
    "KEY_NOT_FOUND": ErrorCode("No column can be the customer's key.", "Name it with `--entity`."),
    "LABELS_NOT_MATURED": ErrorCode(
        "No month is old enough to know who churned.",
        "Add months, or wait until the horizon of the oldest has passed.",
    ),
    "LABEL_NOT_FOUND": ErrorCode("No column can be the label.", "Name it with `--label`."),
    "LAKE_ELSEWHERE": ErrorCode(
        "`CHURN_LAKE` does not name the place of this home's lake.",
        "Set or unset it. `churn lake --move` moves a lake.",
    ),
    "LAKE_SHARED": ErrorCode(
        "Another home keeps files at the place of this home's lake, so none may be deleted.",
        "Give one of the two another place: `churn lake --move`. If that home no longer exists,"
        " delete its note, which the message names.",
    ),
    "LAKE_UNREACHABLE": ErrorCode(
        "The object store of the lake does not answer, or refuses this login.",
        "Check its address, its bucket and the login in the environment. `churn doctor` tries it.",
    ),
    "LEDGER_DAMAGED": ErrorCode("The ledger was changed or cut.", RESTORE),
    "MLFLOW_ELSEWHERE": ErrorCode(
        "`CHURN_MLFLOW_URI` does not name the store with this home's models.",
        "Set or unset it. `churn move` moves a home to a server.",
    ),
    "MLFLOW_MISSING": ErrorCode(
        "`mlflow.db` is missing although a version is in production.",
        RESTORE,
    ),
    "MODEL_CHANGED": ErrorCode(
        "A model's files are not the ones that were decided on.",
        "`churn doctor --fix` rebuilds the release. Otherwise train again with `churn retrain`.",
    ),
    "MODEL_NOT_FITTING": ErrorCode(
        "A model that is imported reads other columns than the contract has, gives no"
        " probabilities, or cannot score a month.",
        "Make it read the contract's features, with its own preprocessing inside it.",
    ),
    "MODEL_RUNS_CODE": ErrorCode(
        "A model file is a pickle: reading it runs the code in it.",
        "Save the model as skops, or use `--trust-code` if you trust whoever made the file.",
    ),
    "MODEL_SOURCE_UNREADABLE": ErrorCode(
        "There is no model at this path or address, or none in a format that is read.",
        "Name a model file, the folder of an MLflow model, or models:/NAME/VERSION.",
    ),
    "MODEL_TEST_BUDGET": ErrorCode(
        "The budget of a test is larger than that of `policy.contacts`, or not above 0.",
        "Name a smaller budget, or raise `policy.contacts.budget` before the test.",
    ),
    "MODEL_TEST_HOPELESS": ErrorCode(
        "The planned months of a test cannot show the difference that is to be expected.",
        "Plan more months or a larger budget. `--anyway` starts it all the same.",
    ),
    "MODEL_TEST_LISTS_AGREE": ErrorCode(
        "Both versions list the same customers, so there is nothing to test.",
        "Compare them in shadow: `churn shadow`.",
    ),
    "MODEL_TEST_MONTHS": ErrorCode(
        "The months of a test, or the difference that it is planned for, cannot be used.",
        "Plan 1 to 24 months, and a difference above 0.",
    ),
    "MODEL_TEST_SAME_VERSION": ErrorCode("A and B are the same version.", "Name two versions."),
    "MODEL_TEST_SCORES": ErrorCode(
        "A version gave no score for a customer, so its list cannot be made.",
        "End the test: `churn test --end`.",
    ),
    "MODEL_TEST_WITHOUT_PRODUCTION": ErrorCode(
        "Neither version of a test is in production.",
        "Name the version in production as A or B.",
    ),
    "MODEL_TYPES_NOT_ALLOWED": ErrorCode(
        "A model file names types that cannot be stored and loaded without code.",
        "Use scikit-learn's own steps in their place, or `policy.training.estimator`.",
    ),
    "MODEL_UNREADABLE": ErrorCode(
        "A model cannot be loaded.",
        "`churn doctor --fix` rebuilds the release.",
    ),
    "MONTH_DUE": ErrorCode("A month has to be processed first.", "Run `churn run`."),
    "MONTH_NOT_SCORED": ErrorCode(
        "The month was not scored.",
        "Run `churn run`, or name a scored month.",
    ),
    "MONTH_UNKNOWN": ErrorCode(
        "The month was not published, or no month was.",
        "Run `churn run`, or name a published month.",
    ),
    "MOVE_NOT_NEEDED": ErrorCode(
        "The home has no MLflow store to move.",
        "Nothing needs to be done.",
    ),
    "NAME_TAKEN": ErrorCode(
        "Another home uses this name on the server.",
        "Use another server, or another name in the contract.",
    ),
    "NOT_A_NUMBER": ErrorCode(
        "A score, a label or a metric is NaN.",
        "Check the model and the data that the message names.",
    ),
    "NOT_MEASURED": ErrorCode(
        "Python: no run has measured this yet.",
        "The message names what is missing. Run `churn run` once it is there.",
    ),
    "NO_PRODUCTION": ErrorCode(
        "No model is in production.",
        "Run `churn run` until a version is promoted.",
    ),
    "OPTIONS_CONFLICT": ErrorCode(
        "Two options exclude each other, or one needs another.",
        "`churn COMMAND --help` explains the options.",
    ),
    "OPTION_INVALID": ErrorCode(
        "An option has a value that it cannot have.",
        "Use a value that the message names.",
    ),
    "PACKAGE_MISSING": ErrorCode(
        "A package that this setting needs is not installed.",
        "Install what the message names.",
    ),
    "PORT_TAKEN": ErrorCode("Another program uses the port.", "Stop it, or name another port."),
    "PROFILE_MISSING": ErrorCode(
        "`CHURN_PROFILE` names a file that does not exist.",
        "Correct the path.",
    ),
    "RECIPES_FAILED": ErrorCode(
        "None of the recipes in `policy.training.candidates` could be fitted.",
        "Correct the recipes; the message has the reason of each.",
    ),
    "RELEASE_MISSING": ErrorCode(
        "The files of a version that serves are missing.",
        "`churn doctor --fix` rebuilds the release.",
    ),
    "RETRAINING_NOT_NEEDED": ErrorCode(
        "A retraining would change nothing, or one is requested already.",
        "Deliver new data or change the policy, then ask again.",
    ),
    "RULE_INVALID": ErrorCode(
        "A rule is not an expression over the contract's features.",
        "Write it as the message says, for example `months_since_order > 2`.",
    ),
    "SCENARIO_UNKNOWN": ErrorCode(
        "No scenario has this name.",
        "Use a scenario that the message lists.",
    ),
    "SETTING_FILE_UNREADABLE": ErrorCode(
        "The file that a setting names cannot be read.",
        "Correct the path, or the mode of the file.",
    ),
    "SETTING_INVALID": ErrorCode(
        "A setting has an invalid value.",
        "Correct it. [commands.md](commands.md) lists the settings.",
    ),
    "SETTING_MISSING": ErrorCode(
        "A setting that is needed has no value.",
        "Set it, or name a profile that does with `CHURN_PROFILE`.",
    ),
    "SETTING_UNKNOWN": ErrorCode(
        "The profile sets something that is not a setting.",
        "Correct the name. [commands.md](commands.md) lists the settings.",
    ),
    "SHADOWS_FULL": ErrorCode("Three shadows score already.", "End one with `churn shadow --end`."),
    "SOURCE_FAILED": ErrorCode(
        "The contract's database does not answer, refuses the query or gives other rows.",
        "Check the source in the contract and the database.",
    ),
    "STEP_FAILED": ErrorCode(
        "A step of `churn run` failed. Finished steps are kept.",
        "Fix what the message names, then run `churn run` again.",
    ),
    "STEPS_INVALID": ErrorCode(
        "The steps of a canary, or the duration of a step, cannot be used.",
        "Write percentages that ascend, as `--steps 1,5,25,50 --every 1d`.",
    ),
    "STORE_DOWN": ErrorCode(
        "A store does not answer, or contains no month yet.",
        "Check that it runs, then run the same command again.",
    ),
    "STORE_EMPTY": ErrorCode(
        "The online store has lost its rows.",
        "`churn run` or the daemon fills it again.",
    ),
    "SYSTEM_FAILED": ErrorCode("The operating system refused a file or a connection.", READ),
    "TABLE_UNKNOWN": ErrorCode(
        "Python: the month has no table of this name.",
        "Name a table that the message lists.",
    ),
    "TARGET_EXISTS": ErrorCode(
        "The file or folder to write exists or is not allowed.",
        "Name another one.",
    ),
    "TEXT_INVALID": ErrorCode(
        "A name or a reason is empty, is not UTF-8, or names the customer to erase.",
        "Write another text.",
    ),
    "TOO_FEW_ROWS": ErrorCode(
        "There are too few customers who churned or stayed.",
        "Wait for more months, or raise `policy.training.pooled_months`.",
    ),
    "USAGE_INVALID": ErrorCode("A command asks for something that does not exist.", READ),
    "VERSION_BLOCKED": ErrorCode(
        "The version was rolled back and is blocked.",
        "`churn unblock` allows it again.",
    ),
    "VERSION_IN_PRODUCTION": ErrorCode(
        "The version is in production already.",
        "Nothing needs to be done.",
    ),
    "VERSION_NOT_BLOCKED": ErrorCode("The version is not blocked.", "Nothing needs to be done."),
    "VERSION_NOT_PROMOTED": ErrorCode(
        "The version was never in production, or it is the first one.",
        "Name a version that was in production: `churn history`.",
    ),
    "VERSION_NOT_REPRODUCIBLE": ErrorCode(
        "It is not recorded what the version was made from.",
        "Train another one with `churn retrain`.",
    ),
    "VERSION_UNKNOWN": ErrorCode("There is no such version, or it has no release.", DECIDED),
}


def error_code_table() -> str:
    """The table of all codes as Markdown, those of libraries included."""
    explained = dict(ERROR_CODES)
    for known in LIBRARY_ERRORS:
        remedy = f"{known.remedy[:1].upper()}{known.remedy[1:]}."
        explained.setdefault(known.code, ErrorCode(f"{known.what}.", remedy))
    lines = ["| code | meaning | what to do |", "| --- | --- | --- |"]
    for code in sorted(explained):
        meaning, remedy = explained[code]
        lines.append(f"| `{code}` | {meaning} | {remedy} |")
    return "\n".join(lines) + "\n"
