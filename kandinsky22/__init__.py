"""Kandinsky 2.2: its networks in plain torch, and in `nodes` what loads them into ComfyUI.

Builds on `clip_drift`, and its nodes on `nodes.core`; nothing builds on it."""
