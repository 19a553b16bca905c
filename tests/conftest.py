"""What holds for every test."""

import signal

# A shell that starts the tests in the background lets them, and all they start, ignore interrupts; some tests
# interrupt what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
