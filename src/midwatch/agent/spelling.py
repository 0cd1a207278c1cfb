"""What customers write, and what the handbook calls it: synonyms, and slips of the finger.

Law: a word that the handbook has is never taken for another one. The table was written by hand for
this project.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

MIN_LENGTH = 4
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

# Words that customers use for one thing, a line for each.
_ALIKE = """
delivery shipping shipment ship deliver dispatch
cost price charge fee much expensive postage
return back send undo returning returned returns
refund money reimbursed payback
warranty guarantee
faulty broken defect fault crack
invoice bill
receipt proof bill
exchange swap replace
present gift christmas
holiday christmas december november season
password login log passwort
phone telephone call calls sms
text sms
recorded record recording taped
delete remove close
cookie cookies
newsletter letters unsubscribe letter
leave unsubscribe rid stop
data gdpr
shop store shops stores
person human someone people
reach call open chat
collect pickup pick collecting
instalments monthly instalment
reminder forgot overdue
declined fails refused
twice double
voucher code coupon
rent rental renting
life lifejacket vest jacket
serviced service servicing maintenance
wash washing clean dryer
kerb upstairs
forwarder sofa boat dinghy furniture
countries norway spain france
cancel stop mistake undo
change add correct
address moved street
missing half item
damaged crushed pieces broken
stock available sold reserve
confirmation mail through
company firm business
people users colleagues
discount bulk less
points loyalty
expire gone valid
student study university
batteries battery
boxes box packaging plastic
open positions jobs
position positions jobs application
complaint complain complaints
languages language english french
press journalist journalists
age old young
sail sails
factor 2fa codes
late lost moved
neighbour home nobody driver
locker lockers
minimum smallest
offer quote
match cheaper lowest
currency currencies francs pounds
spare parts
card visa mastercard
size larger colour
used signs wore use
label printing print printer
days day
"""


def _table() -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for line in _ALIKE.strip().splitlines():
        words = line.split()
        for word in words:
            found.setdefault(word, {}).update(dict.fromkeys(words))
    return {word: tuple(others) for word, others in found.items()}


ALIKE = _table()


def corrected(word: str, known: AbstractSet[str]) -> str:
    """Give the known word that is one slip away, else the word itself.

    >>> corrected("rteurn", {"return", "turn"}), corrected("norway", {"no"})
    ('return', 'norway')
    """
    if len(word) < MIN_LENGTH or word in known or not word.isascii() or not word.isalpha():
        return word
    for n in range(1, len(word) - 1):
        swapped = word[:n] + word[n + 1] + word[n] + word[n + 2 :]
        if swapped in known:
            return swapped
    for n in range(1, len(word)):
        if (less := word[:n] + word[n + 1 :]) in known:
            return less
    for n in range(1, len(word) + 1):
        for letter in _LETTERS:
            if (more := word[:n] + letter + word[n:]) in known:
                return more
            if n < len(word) and (other := word[:n] + letter + word[n + 1 :]) in known:
                return other
    return word
