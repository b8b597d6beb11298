"""The control API: HTTP and JSON on a Unix socket. Server and client read one table, made from `node.control`."""
