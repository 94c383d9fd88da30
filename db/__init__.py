"""The store: studies, models, predictions, reviews, runs. Imports core.records and core.settings only."""
