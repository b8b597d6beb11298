"""Configuration from file, environment and flags, and what is said about mistakes."""

from pathlib import Path
from typing import Any

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.networks import SIGNET
from leyden.node import config
from leyden.node.settings import NodeConfig


def load(tmp_path: Path, text: str = "", environment: dict[str, str] | None = None, **flags: Any) -> NodeConfig:
    """The configuration of `tmp_path` with this file."""
    (tmp_path / "leyden.toml").write_text(text)
    return config.load(None, {"LEYDEN_DATA_DIR": str(tmp_path), **(environment or {})}, flags)


def test_nothing_given_is_all_defaults(tmp_path: Path) -> None:
    """A node without a file works, and on a network where nothing can be lost."""
    loaded = config.load(None, {"LEYDEN_DATA_DIR": str(tmp_path)}, {})
    assert loaded == NodeConfig(data_dir=str(tmp_path))
    assert loaded.network == "regtest"


def test_flags_win_over_variables_over_the_file(tmp_path: Path) -> None:
    """What is nearer to the person who starts the node counts."""
    text = 'network = "signet"\nalias = "file"\n[log]\nlevel = "error"\n[store]\ndelay_ms = 5\n'
    environment = {"LEYDEN_ALIAS": "variable", "LEYDEN_LOG_LEVEL": "warning"}
    loaded = load(tmp_path, text, environment, **{"log.level": "debug", "alias": None})
    assert (loaded.log.level, loaded.alias, loaded.store.delay_ms) == ("debug", "variable", 5)
    assert config.network_of(loaded) is SIGNET


def test_variables_are_converted_to_what_the_key_holds(tmp_path: Path) -> None:
    """A variable is always text; a key is not."""
    environment = {
        "LEYDEN_LISTEN": "127.0.0.1:0, [::1]:9735",
        "LEYDEN_PAYMENTS_AUTO_CLAIM": "false",
        "LEYDEN_STORE_DELAY_MS": "25",
        "LEYDEN_LOG_LEVELS": "peer=debug,chain=error",
    }
    loaded = load(tmp_path, environment=environment)
    assert loaded.listen == ("127.0.0.1:0", "[::1]:9735")
    assert loaded.payments.auto_claim is False
    assert loaded.store.delay_ms == 25
    assert loaded.log.levels == {"peer": "debug", "chain": "error"}


def test_text_of_a_flag_is_read_as_that_of_a_variable(tmp_path: Path) -> None:
    """`--set` gives text whatever the key holds, and an empty list must be possible."""
    file = "listen = ['127.0.0.1:1']\n[log.levels]\npeer = 'info'\n"
    assert load(tmp_path, file, listen="").listen == ()
    assert load(tmp_path, file, listen="127.0.0.1:0, [::1]:9735").listen == ("127.0.0.1:0", "[::1]:9735")
    assert load(tmp_path, file, listen=["127.0.0.1:2"]).listen == ("127.0.0.1:2",)
    levels: dict[str, Any] = {"log.levels": "chain=error"}
    assert load(tmp_path, file, **levels).log.levels == {"chain": "error"}


def test_file_with_its_own_place_names_the_data_directory(tmp_path: Path) -> None:
    """`--config` alone is enough to start a node."""
    file = tmp_path / "other.toml"
    file.write_text('alias = "x"\n')
    assert config.load(file, {}, {}).directory == tmp_path
    file.write_text('data_dir = "/elsewhere"\n')
    assert config.load(file, {}, {}).directory == Path("/elsewhere")
    assert config.load(file, {}, {"data_dir": tmp_path}).directory == tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("netwrok = 'signet'", "unknown key `netwrok`; did you mean `network`?"),
        ("[bitcoind]\nuser_name = 'x'", "unknown key `bitcoind.user_name`; did you mean `bitcoind.user`?"),
        ("[payment]\nauto_claim = true", "unknown key `payment`; did you mean `payments`?"),
        ("level = 'debug'", "unknown key `level`; did you mean `log.level`?"),
        ("zzz = 1", "unknown key `zzz`"),
        ("network = 'main'", "`network`: invalid enum value 'main'; use one of mainnet, regtest, signet, testnet"),
        ("network = 5", "`network`: expected `str`, got `int`"),
        ("[store]\ndelay_ms = '5'", "`store.delay_ms`: expected `int`, got `str`"),
        ("[store]\ndelay_ms = -1", "`store.delay_ms`: expected `int` >= 0"),
        ("[store]\ndelay_ms = 1.5", "`store.delay_ms`: expected `int`, got `float`"),
        ("store = 5", "`store`: expected `object`, got `int`"),
        ("[log.levels]\npeers = 'debug'", "no subsystem `peers`; did you mean `peer`?"),
        ("[log.levels]\npeer = 'loud'", "`log.levels`: invalid enum value 'loud'; use one of"),
        ("listen = ['127.0.0.1']", "`127.0.0.1` is not host:port"),
        ("listen = ['h:70000']", "is not host:port"),
        ("listen = '127.0.0.1:9735'", "`listen`: expected `array`, got `str`"),
        ("[bitcoind]\nuser = 'x'", "belong together"),
        ("[bitcoind]\nuser = 'x'\npassword = 'y'\ncookie_file = 'z'", "not both"),
        ("[channels]\nfunding_satoshis_max = 10", "above channels.funding_satoshis_max"),
        ("alias = '⚡⚡⚡⚡⚡⚡⚡⚡⚡⚡⚡'", "32 bytes"),
        ("network = ", "is not TOML"),
    ],
)
def test_mistake_in_the_file_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """A limit that is misspelt must not silently be the default."""
    with pytest.raises(CommandRejected) as refused:
        load(tmp_path, text)
    assert refused.value.code == "invalid_config"
    assert said in refused.value.what


@pytest.mark.parametrize(
    ("environment", "flags", "said"),
    [
        (
            {"LEYDEN_LOG_LEVL": "debug"},
            {},
            "LEYDEN_LOG_LEVL names no setting of Leyden; did you mean `LEYDEN_LOG_LEVEL`?",
        ),
        ({"LEYDEN_STORE_DELAY_MS": "soon"}, {}, "LEYDEN_STORE_DELAY_MS: `store.delay_ms`: expected `int`, got `str`"),
        ({"LEYDEN_LOG_LEVELS": "debug"}, {}, "needs name=value pairs"),
        ({}, {"log.level": "loud"}, "command line: `log.level`: invalid enum value 'loud'; use one of"),
        ({}, {"store.delay_ms": "soon"}, "command line: `store.delay_ms`: expected `int`, got `str`"),
        ({}, {"log.levels": "debug"}, "command line: `log.levels` needs name=value pairs"),
        ({}, {"log.levle": "debug"}, "no setting `log.levle`; did you mean `log.level`?"),
    ],
)
def test_mistake_elsewhere_is_said_with_its_source(
    tmp_path: Path, environment: dict[str, str], flags: dict[str, object], said: str
) -> None:
    """Whoever reads it must know where to look."""
    with pytest.raises(CommandRejected) as refused:
        config.load(None, {"LEYDEN_DATA_DIR": str(tmp_path), **environment}, flags)
    assert said in refused.value.what


def test_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    """A typing mistake in its name would start another node."""
    with pytest.raises(CommandRejected, match="does not exist"):
        config.load(tmp_path / "missing.toml", {}, {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CommandRejected, match="is not TOML"):
        config.load(tmp_path / "binary.toml", {}, {})
    with pytest.raises(CommandRejected, match="cannot read"):
        config.load(tmp_path, {}, {})


def test_secrets_have_variables_that_are_no_settings(tmp_path: Path) -> None:
    """They must not be mistaken for misspelt settings."""
    load(tmp_path, environment={"LEYDEN_PASSPHRASE": "x", "LEYDEN_WORDS": "y"})


def test_password_is_not_shown(tmp_path: Path) -> None:
    """A configuration is printed in bug reports."""
    loaded = load(tmp_path, "[bitcoind]\nuser = 'u'\npassword = 'sekret'\n")
    assert loaded.bitcoind.password == "sekret"
    assert "sekret" not in repr(loaded)
