"""The models: bases, the recipe of each family, evaluation, boosting, and the registry of promoted ones."""
