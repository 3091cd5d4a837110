"""Judging films: a small network for attributes, rules where rules are exact, tables and sheets."""
