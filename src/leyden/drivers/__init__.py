"""The default implementations of the ports: storage, network, key file, chain. They alone wait for the world."""
