"""The file that `init` writes."""

import re
import tomllib
from pathlib import Path

from leyden.node.config import keys, load
from leyden.node.config_file import config_text
from leyden.node.settings import NodeConfig

AWKWARD = {
    "alias": 'a"b\\c\t⚡',
    "listen": ["[::1]:9735"],
    "log.levels": {"peer": "debug"},
    "payments.auto_claim": False,
}


def test_file_with_everything_commented_out_is_the_defaults(tmp_path: Path) -> None:
    """What a comment calls the default must be the default."""
    (tmp_path / "leyden.toml").write_text(config_text({}))
    assert load(None, {"LEYDEN_DATA_DIR": str(tmp_path)}, {}) == NodeConfig(data_dir=str(tmp_path))
    uncommented = re.sub(r"^#(?=\w)", "", config_text({}), flags=re.MULTILINE)
    assert tomllib.loads(uncommented)["network"] == "regtest"
    (tmp_path / "leyden.toml").write_text(uncommented)
    assert load(None, {"LEYDEN_DATA_DIR": str(tmp_path)}, {}) == NodeConfig(data_dir=str(tmp_path))


def test_values_that_were_given_are_read_back(tmp_path: Path) -> None:
    """Quotes and signs of other alphabets included."""
    (tmp_path / "leyden.toml").write_text(config_text(AWKWARD))
    loaded = load(None, {"LEYDEN_DATA_DIR": str(tmp_path)}, {})
    assert loaded.alias == AWKWARD["alias"]
    assert loaded.listen == ("[::1]:9735",)
    assert loaded.log.levels == {"peer": "debug"}
    assert loaded.payments.auto_claim is False


def test_every_key_has_its_sentence() -> None:
    """The file is the documentation of the settings."""
    lines = config_text({}).splitlines()
    for key, _field in keys():
        name = key.rpartition(".")[2]
        places = [index for index, line in enumerate(lines) if line.startswith(f"#{name} = ")]
        assert places, key
        assert all(re.match(r"# \w.{5,}|# http.*", lines[index - 1]) for index in places), key
