"""A deterministic world of real nodes in one thread: no sockets, no disk, no clock. Users test their code with it."""
