"""A job, what it costs, and the programs that run inside a compute backend."""
