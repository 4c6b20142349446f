"""What ships as an example, and what writes it: workflows, pictures, the clip, the demo."""
