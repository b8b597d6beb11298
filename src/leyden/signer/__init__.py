"""The only holder of secrets: keys of the node, of its channels and of its wallet."""
