"""How each base model is fine-tuned: from a base, a split and hyperparameters to a compute job."""
