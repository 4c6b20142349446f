"""Mini Kandinsky: its parts, their training, evaluation and export."""
