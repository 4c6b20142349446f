"""CLIP Drift, the method: a video's motion as rotations in CLIP space.

Read it as the article tells it: ``drift`` (look at the frames' embeddings), ``rotation`` and
``sequence`` (the motion as plane rotations), ``walks`` (move an embedding along them) and
``noise`` (move the noise). ``attend`` and ``warp`` keep frames together. Pure torch; ComfyUI is not
imported here.
"""
