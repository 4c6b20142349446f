"""Long renders: a workflow's frames in chunks, resumable, by one ComfyUI or by many.

Frame i depends on the seed, the drift and i alone, so a render can be cut anywhere. This package
needs neither ComfyUI nor torch: it speaks to ComfyUI's HTTP API.
"""
