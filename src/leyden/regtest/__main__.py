"""`python -m leyden.regtest --data-dir D --port P`: the chain service alone."""

import argparse
import sys
from pathlib import Path

from leyden.regtest.policy import PolicySettings
from leyden.regtest.service import run


def main(arguments: list[str]) -> int:
    """Read the command line and serve; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m leyden.regtest", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="made when absent; one process at a time")
    parser.add_argument("--port", type=int, default=18443, help="on 127.0.0.1; 0 for any free one (default 18443)")
    parser.add_argument("--rpc-user", default="", help="accepted with --rpc-password besides the cookie file")
    parser.add_argument("--rpc-password", default="")
    parser.add_argument(
        "--min-relay-feerate", type=int, default=PolicySettings().min_relay_feerate, help="sat per 1,000 vbytes"
    )
    options = parser.parse_args(arguments)
    settings = PolicySettings(min_relay_feerate=options.min_relay_feerate)
    return run(options.data_dir, options.port, user=options.rpc_user, password=options.rpc_password, settings=settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
