"""One turn of the loop as a whole: its page, its audition, what it grew from, what is kept, what a tracker is told."""
