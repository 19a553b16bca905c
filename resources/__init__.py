"""The outside world: GPU backends, speech services, object store, tracking, the data folder."""
