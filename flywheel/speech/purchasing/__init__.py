"""Speech that is paid for by the character: prices, consent, and a ledger of what was bought."""
