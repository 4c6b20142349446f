"""Benches: speed and memory as ratios from one run, and what moves what, with its controls."""
