"""28 registered faces that name their split."""

import pytest

from tests.lmdb_builders.building.made_builds import OWN, register


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return register(tmp_path_factory.mktemp("data") / "registered", splits=OWN)
