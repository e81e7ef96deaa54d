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
    "BACKUP_MISSING": ErrorCode(
        "No backup was found at this path.",
        "Check the path.",
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
    "CUSTOMER_UNKNOWN": ErrorCode(
        "No customer has this key.",
        "Check the key and the month.",
    ),
    "DATA_UNSUITABLE": ErrorCode(
        "The data cannot support this step.",
        READ,
    ),
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
    "DRAFT_IMPOSSIBLE": ErrorCode(
        "No contract can be drafted from these files.",
        READ,
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
    "FAILED": ErrorCode(
        "A command failed.",
        READ,
    ),
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
    "KEY_NOT_FOUND": ErrorCode(
        "No column can be the customer's key.",
        "Name it with `--entity`.",
    ),
    "LABELS_NOT_MATURED": ErrorCode(
        "No month is old enough to know who churned.",
        "Add months, or wait until the horizon of the oldest has passed.",
    ),
    "LABEL_NOT_FOUND": ErrorCode(
        "No column can be the label.",
        "Name it with `--label`.",
    ),
    "LEDGER_DAMAGED": ErrorCode(
        "The ledger was changed or cut.",
        RESTORE,
    ),
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
    "MODEL_UNREADABLE": ErrorCode(
        "A model cannot be loaded.",
        "`churn doctor --fix` rebuilds the release.",
    ),
    "MONTH_DUE": ErrorCode(
        "A month has to be processed first.",
        "Run `churn run`.",
    ),
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
    "NO_PRODUCTION": ErrorCode(
        "No model is in production.",
        "Run `churn run` until a version is promoted.",
    ),
    "OPTIONS_CONFLICT": ErrorCode(
        "Two options exclude each other, or one needs another.",
        "`churn COMMAND --help` explains the options.",
    ),
    "PACKAGE_MISSING": ErrorCode(
        "A package that this setting needs is not installed.",
        "Install what the message names.",
    ),
    "PORT_TAKEN": ErrorCode(
        "Another program uses the port.",
        "Stop it, or name another port.",
    ),
    "PROFILE_MISSING": ErrorCode(
        "`CHURN_PROFILE` names a file that does not exist.",
        "Correct the path.",
    ),
    "RELEASE_MISSING": ErrorCode(
        "The files of a version that serves are missing.",
        "`churn doctor --fix` rebuilds the release.",
    ),
    "RETRAINING_NOT_NEEDED": ErrorCode(
        "A retraining would change nothing, or one is requested already.",
        "Deliver new data or change the policy, then ask again.",
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
    "SOURCE_FAILED": ErrorCode(
        "The contract's database does not answer, refuses the query or gives other rows.",
        "Check the source in the contract and the database.",
    ),
    "STEP_FAILED": ErrorCode(
        "A step of `churn run` failed. Finished steps are kept.",
        "Fix what the message names, then run `churn run` again.",
    ),
    "STORE_DOWN": ErrorCode(
        "A store does not answer, or contains no month yet.",
        "Check that it runs, then run the same command again.",
    ),
    "STORE_EMPTY": ErrorCode(
        "The online store has lost its rows.",
        "`churn run` or the daemon fills it again.",
    ),
    "SYSTEM_FAILED": ErrorCode(
        "The operating system refused a file or a connection.",
        READ,
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
    "USAGE_INVALID": ErrorCode(
        "A command asks for something that does not exist.",
        READ,
    ),
    "VERSION_BLOCKED": ErrorCode(
        "The version was rolled back and is blocked.",
        "`churn unblock` allows it again.",
    ),
    "VERSION_IN_PRODUCTION": ErrorCode(
        "The version is in production already.",
        "Nothing needs to be done.",
    ),
    "VERSION_NOT_BLOCKED": ErrorCode(
        "The version is not blocked.",
        "Nothing needs to be done.",
    ),
    "VERSION_NOT_PROMOTED": ErrorCode(
        "The version was never in production, or it is the first one.",
        "Name a version that was in production: `churn history`.",
    ),
    "VERSION_NOT_REPRODUCIBLE": ErrorCode(
        "It is not recorded what the version was made from.",
        "Train another one with `churn retrain`.",
    ),
    "VERSION_UNKNOWN": ErrorCode(
        "There is no such version, or it has no release.",
        DECIDED,
    ),
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
