"""`make demo`: a chain and three nodes in processes of their own, from the first channel to the last millisatoshi."""
