"""The synthesisers that run on this machine."""
