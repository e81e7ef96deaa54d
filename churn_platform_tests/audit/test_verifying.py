"""Verification: a valid home holds. A cut chain, another pointer or alias, and a server of
another version are named; a home at work and an MLflow that does not answer are no breaks.
"""

import contextlib
import datetime as dt
import http.server
import json
import threading

import pytest

from churn_platform.alerting.dagster_ui import free_port
from churn_platform.audit.verifying import LOOKS
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import PromotionIntent
from churn_platform.training.registry import PRODUCTION
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import make_home, open_home
from churn_platform_tests.system.trusted_home import (
    assert_told,
    edit_json,
    flip,
    lines,
    verification,
)


@pytest.fixture
def home(sound_copy):
    return sound_copy


def test_a_sound_home_holds_with_every_head_as_anchor(sound):
    found = verification(sound)
    assert (found["verified"], found["breaks"], found["first_break"]) == (True, [], None)
    receipts = sound.ledger.receipts()
    assert found["head"] == {"sequence": len(receipts), "digest": receipts[-1].digest}
    for receipt in receipts:
        assert verification(sound, receipt.digest)["verified"]
    assert verification(sound, receipts[-1].digest[:12])["verified"]
    checks = ["chain", "anchors", "production", "server", "decisions", "releases"]
    assert list(dict.fromkeys(finding["check"] for finding in found["findings"])) == checks
    held = {
        finding["check"]: finding["count"]
        for finding in found["findings"]
        if finding["state"] == "holds"
    }
    files = [file for number in "12" for file in (sound.releases.folder / number).iterdir()]
    assert (held["decisions"], held["releases"]) == (2, len(files))


def test_a_home_in_which_nothing_happened_yet_holds(tmp_path):
    assert verification(make_home(tmp_path / "home"))["verified"]


def cut(home, keep=-3):
    lines(home, lambda all_lines: all_lines[:keep])


def without_anchor_file(home):
    home.ledger.anchor_file.unlink()


def anchor_of_the_cut(home):
    """What a forger does who knows the anchor file: cut the tail and write the file that fits."""
    head = LedgerStore(home.ledger.folder).head()
    home.ledger.anchor_file.write_text(
        json.dumps({"sequence": head.sequence, "digest": head.digest})
    )


CHAINS = {
    "a changed byte": (lambda home: flip(home.ledger.file), "does not match its digest"),
    "a deleted line": (
        lambda home: lines(home, lambda all_lines: all_lines[:3] + all_lines[4:]),
        "receipt 4 is missing",
    ),
    "two lines in another order": (
        lambda home: lines(home, lambda old: [*old[:3], old[4], old[3], *old[5:]]),
        "receipt 5 is at position 4, too early",
    ),
    "a line twice": (
        lambda home: lines(home, lambda old: [*old[:3], old[1], *old[3:]]),
        "receipt 2 appears a second time",
    ),
    "a cut tail": (cut, "its tail was cut or rewritten"),
    "an empty ledger": (
        lambda home: home.ledger.file.write_bytes(b""),
        "the ledger, which is empty",
    ),
    "no ledger": (lambda home: home.ledger.file.unlink(), "the ledger, which is empty"),
    "no anchor file": (without_anchor_file, "anchor.json is gone"),
    "a changed anchor file": (lambda home: flip(home.ledger.anchor_file, 0.3), "anchor.json"),
    "a tail cut behind the promotion, with the anchor file": (
        lambda home: (cut(home, 8), without_anchor_file(home)),
        "MLflow's version 2 was written with digest",
    ),
    "a tail cut behind the promotion, and a forged anchor file": (
        lambda home: (cut(home, 7), anchor_of_the_cut(home)),
        "releases/production was written with digest",
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_whatever_is_done_to_the_ledger_is_found_and_told_first(home, name):
    change, sentence = CHAINS[name]
    change(home)
    found = verification(home)
    assert_told(found, sentence)
    assert found["first_break"] == found["breaks"][0]
    assert next(f for f in found["findings"] if f["state"] == "broken")["check"] in (
        "chain",
        "anchors",
    )


def test_a_tail_cut_with_the_anchor_file_beyond_what_others_reach_is_found_by_the_one_that_a_person_kept(
    home,
):
    head = home.ledger.head()
    cut(home, -1)
    anchor_of_the_cut(home)
    assert verification(home)["verified"]  # nothing else reaches so far
    assert "the anchor you kept" in verification(home, head.digest)["first_break"]


def test_an_anchor_file_one_behind_holds_for_a_kill_leaves_it_so(home):
    receipts = home.ledger.receipts()
    behind = {"sequence": receipts[-2].sequence, "digest": receipts[-2].digest}
    home.ledger.anchor_file.write_text(json.dumps(behind))
    found = verification(home)
    assert found["verified"]
    assert any("1 behind" in finding["detail"] for finding in found["findings"])


def pointer(**fields):
    return lambda home: edit_json(home.releases.pointer_file, lambda found: found.update(fields))


AGREEMENT = {
    "the alias moved": (lambda home: home.registry.set_alias(PRODUCTION, 1), "MLflow's alias names version 1"),
    "the alias gone": (lambda home: home.registry.remove_alias(PRODUCTION), "MLflow's alias names no model"),
    "the pointer moved": (pointer(version=1), "the release pointer names version 1"),
    "the pointer gone": (lambda home: home.releases.pointer_file.unlink(), "the release pointer names no model"),
    "another activation": (pointer(activate_at="2024-01-01T00:00:00+00:00"), "has activate_at 2024-01-01"),
    "another version before": (pointer(previous_version=None), "names no model as the one before"),
    "another month": (pointer(as_of="2020-01-31"), "has as_of 2020-01-31"),
    "another head": (pointer(ledger_head="0" * 64), "has ledger_head 000"),
    "a head of no ledger": (pointer(ledger_head="f" * 64), "releases/production was written with digest fff"),
    "a pointer that is none": (lambda home: home.releases.pointer_file.write_text("2"), "production"),
}  # fmt: skip


@pytest.mark.parametrize("name", AGREEMENT)
def test_whoever_names_another_production_is_named(home, name):
    change, sentence = AGREEMENT[name]
    change(home)
    found = verification(home)
    assert_told(found, sentence)


def test_a_store_that_cannot_be_read_is_a_break_and_the_other_checks_still_run(home):
    (home.folder / "mlflow.db").write_bytes(b"no database" * 1000)
    found = verification(home)
    assert not found["verified"]
    assert next(f["check"] for f in found["findings"] if f["state"] == "holds") == "chain"
    assert "server" in {f["check"] for f in found["findings"]}


def change_to_three(home):
    """A promotion that has begun."""
    change = {"version": 3, "before": 2, "after": 3, "reason": "It is better."}
    intent = PromotionIntent(**change, decision="d", candidate="c", as_of="2024-02-29")
    home.ledger.append(intent)


@contextlib.contextmanager
def listening(answers):
    """A server that gives the JSON of each path, or its status alone."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers.get(self.path, 404)
            self.send_response(answer if isinstance(answer, int) else 200)
            self.end_headers()
            self.wfile.write(b"" if isinstance(answer, int) else json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def about_server(home, answers, now=None):
    with listening(answers) as port:
        opened = open_home(home.folder, now, api_port=port)
        [finding] = [f for f in opened.verification.verify() if f.check == "server"]
    return finding.state, finding.detail


def later(home):
    """A minute after the version in production was activated."""
    activated = dt.datetime.fromisoformat(home.releases.pointer().activate_at)
    return lambda: activated + dt.timedelta(minutes=1)


OWN, OTHER = {"version": 2}, {"version": 1}
SERVERS = {
    "the version in production": ({"/model": OWN}, "holds"),
    "another version": ({"/model": OTHER}, "broken"),
    "behind a key, ready": ({"/model": 401, "/readyz": OWN}, "holds"),
    "behind a key, another version": ({"/model": 401, "/readyz": OTHER}, "broken"),
    "not ready": ({"/model": 503}, "said"),
    "no API": ({"/model": 404}, "said"),
    "no version": ({"/model": {"status": "up"}}, "said"),
    "a list": ({"/model": ["no", "model"]}, "said"),
    "a version in words": ({"/model": {"version": "two"}}, "said"),
    "another home": ({"/model": {"version": 7, "receipt": {"digest": "e" * 64}}}, "said"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_running_server_must_serve_the_version_in_production(sound, name):
    answers, state = SERVERS[name]
    assert about_server(sound, answers, later(sound))[0] == state


def test_a_server_may_answer_with_the_version_before_until_the_activation(sound):
    own = {"digest": sound.ledger.receipts("promotion done")[0].digest}
    state, detail = about_server(sound, {"/model": OTHER | {"receipt": own}}, later(sound))
    assert state == "broken"
    assert "answers with version 1, in production is version 2" in detail
    activated = dt.datetime.fromisoformat(sound.releases.pointer().activate_at)
    assert about_server(sound, {"/model": OTHER}, lambda: activated)[0] == "said"


def test_a_server_on_another_address_is_asked_there(sound):
    """In containers the API is not on this machine: CHURN_API_ADDRESS goes before the port."""
    with listening({"/model": OWN}) as port:
        opened = open_home(sound.folder, api_port=1, api_address=f"localhost:{port}")
        [finding] = [f for f in opened.verification.verify() if f.check == "server"]
    assert finding.state == "holds"
    assert f"localhost:{port}" in finding.detail


def test_one_changed_byte_of_a_release_or_of_the_ledgers_folder_is_found_and_named(home):
    ledger = [path for path in home.ledger.folder.rglob("*") if path.is_file()]
    files = [path for path in ledger if path.suffix != ".lock"]
    files += [home.ledger.anchor_file, home.releases.folder / "1" / "model.skops"]
    files += (home.releases.folder / "2").iterdir()
    assert {"model.skops", "000001.json", "receipts.jsonl"} < {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        for at in (0.0, 0.3, 0.8):
            flip(path, at)
            found = verification(home)
            assert not found["verified"], (path, at)
            named = (path.name, str(path.parent))
            assert any(name in fault for name in named for fault in found["breaks"]), (path, at)
            path.write_bytes(content)
    assert verification(home)["verified"]


@pytest.mark.parametrize(
    ("old", "new"), [(b"  ", b"\t "), (b'": ', b'":  '), (b"}\n", b'},"as_of":"2024-01-31"}\n')]
)
def test_a_decision_record_is_compared_byte_for_byte(home, old, new):
    path = home.folder / "ledger" / "decisions" / "000001.json"
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    assert_told(verification(home), "000001.json")


def test_a_decision_record_that_is_gone_is_named_by_its_receipt(home):
    (home.folder / "ledger" / "decisions" / "000002.json").unlink()
    receipt = home.ledger.receipts("decision")[1].sequence
    assert_told(verification(home), f"the decision in receipt {receipt} ")


def quiet_act(home):
    return record_act(
        home.ledger, actor="ada", act="retraining skipped", subject="2024-01-31", reason="Quiet."
    )


def quiet_home(folder):
    """A home and its server's port, on which nobody listens."""
    return open_home(folder, api_port=1)


def while_looking(home, act, looks=1_000):
    """Let something happen when the pointer is read, which is after the ledger was read."""
    read = home.releases.pointer
    left = iter(range(looks))

    def pointer():
        if next(left, None) is not None:
            act()
        return read()

    home.releases.pointer = pointer
    return home.verification.verify()


def states(found):
    return {
        finding.check: finding.state for finding in found if finding.state not in ("holds", "said")
    }


def test_receipts_that_are_added_meanwhile_cut_no_tail(tmp_path):
    home = make_home(tmp_path / "home")
    for _ in range(200):
        quiet_act(home)
    looking = quiet_home(home.folder)
    snapshot = looking.ledger.snapshot

    def and_then_another():
        taken = snapshot()
        quiet_act(home)
        return taken

    looking.ledger.snapshot = and_then_another
    found = [finding for _ in range(9) for finding in looking.verification.verify()]
    assert [finding.detail for finding in found if finding.state in ("broken", "unseen")] == []
    assert home.ledger.head().sequence > 208


def test_a_promotion_that_comes_meanwhile_is_looked_at_once_more_and_holds(february_decided_copy):
    folder = february_decided_copy.folder
    found = while_looking(quiet_home(folder), open_home(folder).decision_maker.carry_out, looks=1)
    assert states(found) == {}
    assert any(finding.detail.endswith("name version 2") for finding in found)


def test_a_break_is_found_though_a_receipt_was_added_meanwhile(home):
    edit_json(home.releases.pointer_file, lambda found: found.update(version=1))
    found = while_looking(quiet_home(home.folder), lambda: quiet_act(home), looks=1)
    assert states(found) == {"production": "broken"}


def test_a_ledger_that_changes_all_the_time_is_not_verified_rather_than_broken(home):
    edit_json(home.releases.pointer_file, lambda found: found.update(version=1))
    before = home.ledger.head().sequence
    found = while_looking(quiet_home(home.folder), lambda: quiet_act(home))
    assert states(found) == {"production": "unseen"}
    # One for anchors, production at each look, one for the server.
    assert home.ledger.head().sequence == before + 1 + LOOKS + 1


@pytest.mark.parametrize("held", [True, False])
def test_a_promotion_is_under_way_while_a_run_holds_the_home_and_else_cut_off(home, held):
    change_to_three(home)
    if held:
        with home.exclusive("a promotion"):
            found = verification(home)
        assert found["breaks"] == []
        [missed] = found["not_verified"]
        assert "version 3" in missed
    else:
        assert_told(verification(home), "the move to version 3 was cut off")


def away(home, **asked):
    """What is found while the MLflow server of the settings does not answer."""
    return verification(home, mlflow_uri=f"http://127.0.0.1:{free_port()}", **asked)


def test_an_mlflow_that_is_away_is_not_verified_and_the_rest_is(sound):
    found = away(sound)
    assert (found["verified"], found["breaks"], found["first_break"]) == (False, [], None)
    assert len(found["not_verified"]) == 2
    assert all("MLflow at http://127.0.0.1:" in missed for missed in found["not_verified"])
    held = [finding["detail"] for finding in found["findings"] if finding["state"] == "holds"]
    assert "ledger and release pointer name version 2" in held
    assert sum("anchor.json" in detail or "releases/production" in detail for detail in held) == 2


def test_every_digest_but_mlflows_is_computed_while_it_is_away(sound):
    found = away(sound, deep=True)
    assert found["breaks"] == []
    unseen = [one["check"] for one in found["findings"] if one["state"] == "unseen"]
    assert unseen == ["anchors", "production", "MLflow", "contract"]
    counted = {one["check"] for one in found["findings"] if one["count"]}
    assert {"decisions", "releases", "contract", "lake", "records"} <= counted


def test_what_is_broken_is_found_though_mlflow_does_not_answer(home):
    edit_json(home.releases.pointer_file, lambda found: found.update(version=1))
    lines(home, lambda all_lines: all_lines[:-1])
    found = away(home)
    assert_told(found, "its tail was cut or rewritten")
    assert_told(
        found, "the ledger records version 2 in production, the release pointer names version 1"
    )
