"""Verification: a sound home holds; a chain that was cut, a pointer or alias that says another version is named."""

import contextlib
import datetime as dt
import http.server
import json
import threading

import pytest

from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import PromotionIntent
from churn_platform.training.registry import PRODUCTION
from churn_platform_tests.small_business import copied, make_home, open_home
from churn_platform_tests.system.trusted_home import (
    assert_told,
    edit_json,
    flip,
    lines,
    verification,
)


@pytest.fixture
def home(sound, tmp_path):
    return copied(sound, tmp_path / "home")


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
    files = list((sound.releases.folder / "2").iterdir())
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
        "MLflow's version 2 says written with digest",
    ),
    "a tail cut behind the promotion, and a forged anchor file": (
        lambda home: (cut(home, 7), anchor_of_the_cut(home)),
        "releases/production says written with digest",
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
    "the alias moved": (lambda home: home.registry.set_alias(PRODUCTION, 1), "MLflow's alias version 1"),
    "the alias gone": (lambda home: home.registry.remove_alias(PRODUCTION), "MLflow's alias no model"),
    "the pointer moved": (pointer(version=1), "the release pointer version 1"),
    "the pointer gone": (lambda home: home.releases.pointer_file.unlink(), "the release pointer no model"),
    "another activation": (pointer(activate_at="2024-01-01T00:00:00+00:00"), "has activate_at 2024-01-01"),
    "another version before": (pointer(previous_version=None), "says that no model came before"),
    "another month": (pointer(as_of="2020-01-31"), "has as_of 2020-01-31"),
    "another head": (pointer(ledger_head="0" * 64), "has ledger_head 000"),
    "a head of no ledger": (pointer(ledger_head="f" * 64), "releases/production says written with digest fff"),
    "a pointer that is none": (lambda home: home.releases.pointer_file.write_text("2"), "production"),
    "a promotion that was cut off": (
        lambda home: home.ledger.append(
            PromotionIntent(
                version=3, before=2, after=3, reason="It is better.", decision="d", candidate="c", as_of="2024-02-29"
            )
        ),
        "the move to version 3 was cut off",
    ),
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


def test_a_server_that_answers_with_the_version_in_production_holds(sound):
    assert about_server(sound, {"/model": {"version": 2}})[0] == "holds"


def test_a_server_that_answers_with_another_version_after_the_activation_is_a_break(sound):
    own = {"digest": sound.ledger.receipts("promotion done")[0].digest}
    state, detail = about_server(sound, {"/model": {"version": 1, "receipt": own}}, later(sound))
    assert state == "broken"
    assert "answers with version 1, in production is version 2" in detail
    activated = dt.datetime.fromisoformat(sound.releases.pointer().activate_at)
    assert about_server(sound, {"/model": {"version": 1}}, lambda: activated)[0] == "said"


def test_a_server_on_another_address_is_asked_there(sound):
    """In containers the API is not on this machine: CHURN_API_ADDRESS goes before the port."""
    with listening({"/model": {"version": 2}}) as port:
        opened = open_home(sound.folder, api_port=1, api_address=f"localhost:{port}")
        [finding] = [f for f in opened.verification.verify() if f.check == "server"]
    assert finding.state == "holds"
    assert f"localhost:{port}" in finding.detail


def test_a_server_behind_a_key_is_asked_whether_it_is_ready(sound):
    assert about_server(sound, {"/model": 401, "/readyz": {"version": 2}})[0] == "holds"
    assert (
        about_server(sound, {"/model": 401, "/readyz": {"version": 1}}, later(sound))[0] == "broken"
    )


@pytest.mark.parametrize(
    "answer", [503, 404, {"status": "up"}, ["no", "model"], {"version": "two"}]
)
def test_a_server_that_names_no_model_is_said_and_no_fault(sound, answer):
    assert about_server(sound, {"/model": answer}, later(sound))[0] == "said"


def test_a_server_of_another_home_is_said_and_no_fault(sound):
    state, detail = about_server(
        sound, {"/model": {"version": 7, "receipt": {"digest": "e" * 64}}}, later(sound)
    )
    assert state == "said"
    assert "serves another home" in detail


def small_files(home):
    """What every verification reads: production's release, and what lies in the ledger's folder."""
    ledger = [
        path for path in home.ledger.folder.rglob("*") if path.is_file() and path.suffix != ".lock"
    ]
    return [*(home.releases.folder / "2").iterdir(), *ledger, home.ledger.anchor_file]


def test_one_changed_byte_of_productions_release_or_of_the_ledgers_folder_is_found_and_named(home):
    files = small_files(home)
    assert {"booster.txt", "model.skops", "000001.json", "000002.json", "receipts.jsonl"} & {f.name for f in files} >= {
        "model.skops", "000001.json", "000002.json", "receipts.jsonl"
    }  # fmt: skip
    for path in files:
        content = path.read_bytes()
        for at in (0.0, 0.3, 0.8):
            flip(path, at)
            found = verification(home)
            assert not found["verified"], (path, at)
            assert any(
                path.name in fault or str(path.parent) in fault for fault in found["breaks"]
            ), (
                path,
                at,
                found["breaks"],
            )
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


def test_a_damaged_release_that_is_not_in_production_is_left_to_the_deep_verification(home):
    flip(home.releases.folder / "1" / "model.skops")
    assert verification(home)["verified"]
    assert_told(verification(home, deep=True), "releases/1")
