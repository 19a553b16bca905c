"""What the numbers mean: the gate, the decision, and what went wrong with each missed term."""
