"""Hashes, secp256k1, ChaCha20-Poly1305 and the key derivations of BOLT 3.

`ec` is the only seam over libsecp256k1; nothing here holds a secret between two calls.
"""
