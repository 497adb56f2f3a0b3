"""The rooms behind helpers.py. A room imports lower floors only."""
