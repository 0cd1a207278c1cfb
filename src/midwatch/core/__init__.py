"""The pure domain: deterministic, without I/O; `now`, ids and randomness arrive as arguments.

Read it in this order: `inputs` (what may arrive), `decide` (what is done about it), `events` (what
then is a fact), `shard` and `incidents` (what the facts add up to), `effects` (what is wished for).

Times are integers, milliseconds since the epoch in UTC, in names that end in `_at`; durations are
seconds in names that end in `_s`.
"""
