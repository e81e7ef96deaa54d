"""A model file that runs code when it is built: planted in the registry and in a release, it is never built.

Its digests are made right, so that nothing but the loader stands against it.
"""

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import skops.io

from churn_platform.base.errors import IntegrityError
from churn_platform.promotion.promotions import production_candidate
from churn_platform.training.candidate import FILES
from churn_platform.training.release_loading import load_release
from churn_platform_tests.api_client import running
from churn_platform_tests.small_business import open_home
from churn_platform_tests.system.trusted_home import verification

pytestmark = pytest.mark.slow


class Runs:
    """Unpickling it makes a folder."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return (os.mkdir, (self.trace,))


class Builds:
    """Building it from a skops file makes a folder."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __getstate__(self):
        return {"trace": self.trace}

    def __setstate__(self, state):
        Path(state["trace"]).mkdir()


def by_pickle(content):
    pickle.loads(content)


def by_skops(content):
    skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))


@pytest.fixture(params=["pickle", "skops"])
def planted(request, tmp_path):
    """The bytes of a malicious file; afterwards it has not run, and it would have."""
    trace = tmp_path / "it ran"
    dumped, loaded = {
        "pickle": (lambda: pickle.dumps(Runs(trace)), by_pickle),
        "skops": (lambda: skops.io.dumps(Builds(trace)), by_skops),
    }[request.param]
    content = dumped()
    yield content
    assert not trace.exists()
    loaded(content)
    assert trace.exists(), "nothing was proved: the file is harmless"


def plant(home, version, content, *, known):
    """Put the file in the place of a version's model in MLflow, and under the name that others would unpickle."""
    client, name = home.registry._client(), home.registry.model_name
    place = client.get_model_version_download_uri(name, str(version)).removeprefix("file://")
    for file in ("model.skops", "model.pkl"):
        (Path(place) / file).write_bytes(content)
    if known:
        digest = hashlib.sha256(content).hexdigest()
        client.set_model_version_tag(name, str(version), "sha256.model.skops", digest)


def forge(home, content):
    """A release of version 2 whose digests are all right, and whose model is the file; the pointer names it."""
    standing = home.releases.manifest(1)
    files = {
        name: (home.releases.folder / "1" / name).read_bytes()
        for name in FILES
        if name != "model.skops"
    }
    fields = standing.model_dump(exclude={"files", "version"})
    home.releases.publish(2, {**files, "model.skops": content}, fields)
    home.releases.repoint(
        {**home.releases.read_pointer().model_dump(), "version": 2, "previous_version": 1}
    )


@pytest.mark.parametrize("known", [False, True], ids=["other digest", "its digest recorded"])
def test_as_a_candidate_it_is_not_promoted(february_decided_copy, planted, known):
    home = february_decided_copy
    plant(home, 2, planted, known=known)
    with pytest.raises(IntegrityError, match=r"not loaded|does not match"):
        open_home(home.folder).decision_maker.carry_out()
    assert production_candidate(open_home(home.folder).releases).version == 1
    assert open_home(home.folder).ledger.verify() is None


def test_as_the_version_in_production_the_release_goes_on_serving_and_a_deep_look_tells(
    january_copy, planted
):
    home = january_copy
    plant(home, 1, planted, known=True)
    assert production_candidate(open_home(home.folder).releases).version == 1
    with pytest.raises(IntegrityError, match="not loaded"):
        home.registry.load(1)
    assert any(
        "Version 1: The model file" in fault for fault in verification(home, deep=True)["breaks"]
    )


def test_in_a_release_it_is_refused_and_a_server_goes_on_with_the_version_before(
    january_copy, planted
):
    home = january_copy
    with running(home) as made:
        forge(home, planted)
        made.watch.poll()
        assert made.watch.current.manifest.version == 1
        assert "not loaded" in made.watch.refusal
    with pytest.raises(IntegrityError, match="not loaded"):
        load_release(home.releases, home.contract, 2, home.releases.read_pointer())
    with pytest.raises(IntegrityError, match="not loaded"):
        production_candidate(open_home(home.folder).releases)
