"""The programs that run inside a compute backend; the only place that imports torch and NeMo."""
