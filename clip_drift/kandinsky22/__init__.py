"""Kandinsky 2.2, pure torch, under the parameter names that its files on the hub have."""
