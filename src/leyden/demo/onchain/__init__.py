"""The worst day of a node: forced closes with payments in flight, a crash, a cheating peer, a reorganisation."""
