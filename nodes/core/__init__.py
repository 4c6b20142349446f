"""What the nodes of several menu sections need: sockets, latents, progress, model folders."""
