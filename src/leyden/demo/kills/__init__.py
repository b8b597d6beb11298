"""Real nodes, killed with `kill -9` again and again under load, and audited after each time: nothing may be lost."""
