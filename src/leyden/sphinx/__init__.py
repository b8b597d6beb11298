"""BOLT 4: onions out, failures and attribution data back.

`onion` builds and peels packets, `payload` is what a hop is told, `failures` what it may answer, `onion_error` and
`fulfillment` how the answer travels.
"""
