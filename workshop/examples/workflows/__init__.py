"""The example workflows, described in Python."""

from collections.abc import Callable

from ..ui_graph import Graph, Stack
from . import (
    blueprint,
    consistency,
    kandinsky,
    mini,
    moved_prompts,
    score,
    stable_diffusion,
    unclip,
)

WORKFLOWS: dict[str, Callable[[Graph], Stack]] = {
    "01-mini_kandinsky": mini.first,
    "02-look_at_a_clip_first": stable_diffusion.look_first,
    "03-rotate_the_prompt": moved_prompts.rotate_prompt,
    "04-move_one_word": moved_prompts.move_one_word,
    "05-drifting_noise_only": stable_diffusion.noise_only,
    "06-text_and_noise_frame_by_frame": stable_diffusion.text_and_noise,
    "07-feedback_loop": stable_diffusion.feedback_loop,
    "08-kandinsky_text_loop": kandinsky.text_loop,
    "09-kandinsky_noise_loop": kandinsky.noise_loop,
    "10-kandinsky_text_and_noise": kandinsky.text_and_noise,
    "11-kandinsky_image_prompt": kandinsky.image_prompt,
    "12-unclip_image_prompt": unclip.image_prompt,
    "13-score_the_motion": score.score_motion,
    "14-text2video_zero": consistency.text2video_zero,
    "15-long_clip_by_windows": consistency.by_windows,
    "16-attend_to_first_frame": consistency.side_by_side,
    "17-rotate_the_prompt_sdxl": moved_prompts.sdxl,
    "18-rotate_the_prompt_sd3": moved_prompts.sd3_captions,
}
"""File name without its ending (the template's title, and part of a URL) -> description."""

BLUEPRINTS: dict[str, Callable[[Graph], Stack]] = {
    "Video Drift to Conditioning": blueprint.drift_to_conditioning,
}
"""The same for the subgraphs that the search for nodes offers."""
