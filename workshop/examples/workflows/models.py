"""The model files that the workflows name: where a user gets them, and what tests take instead."""

HUB = "https://huggingface.co"
KANDINSKY = f"{HUB}/kandinsky-community/kandinsky-2-2"


def model_file(name: str, url: str, directory: str) -> dict[str, str]:
    """A model as the front end reads it from a node's properties, to offer its download."""
    return {"name": name, "url": url, "directory": directory}


CHECKPOINT = model_file(
    "v1-5-pruned-emaonly-fp16.safetensors",
    f"{HUB}/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/"
    "v1-5-pruned-emaonly-fp16.safetensors",
    "checkpoints",
)
UNCLIP = model_file(
    "wd-1-5-beta2-aesthetic-unclip-h-fp16.safetensors",
    f"{HUB}/comfyanonymous/wd-1.5-beta2_unCLIP/resolve/main/"
    "wd-1-5-beta2-aesthetic-unclip-h-fp16.safetensors",
    "checkpoints",
)
VIT_L = model_file(
    "clip-vit-large-patch14.safetensors",
    f"{HUB}/openai/clip-vit-large-patch14/resolve/main/model.safetensors",
    "clip_vision",
)
BIG_G = model_file(
    "clip_vision_g.safetensors",
    f"{HUB}/comfyanonymous/clip_vision_g/resolve/main/clip_vision_g.safetensors",
    "clip_vision",
)
DECODER = model_file(
    "kandinsky-2-2-decoder.safetensors",
    f"{KANDINSKY}-decoder/resolve/main/unet/diffusion_pytorch_model.safetensors",
    "diffusion_models",
)
MOVQ = model_file(
    "kandinsky-2-2-movq.safetensors",
    f"{KANDINSKY}-decoder/resolve/main/movq/diffusion_pytorch_model.safetensors",
    "vae",
)
PRIOR = model_file(
    "kandinsky-2-2-prior.safetensors",
    f"{KANDINSKY}-prior/resolve/main/prior/diffusion_pytorch_model.safetensors",
    "diffusion_models",
)
TEXT_ENCODER = model_file(
    "kandinsky-2-2-text-encoder.safetensors",
    f"{KANDINSKY}-prior/resolve/main/text_encoder/model.safetensors",
    "text_encoders",
)

# The pack's own, which need no download.
MINI_CLIP = "mini-kandinsky-clip.safetensors"
MINI_DECODER = "mini-kandinsky-decoder.safetensors"
MINI_MOVQ = "mini-kandinsky-movq.safetensors"
MINI_PRIOR = "mini-kandinsky-prior.safetensors"

STAND_INS = {
    CHECKPOINT["name"]: "random_sd15.safetensors",
    UNCLIP["name"]: "random_unclip_l.safetensors",
    VIT_L["name"]: "random_vit_l.safetensors",
    BIG_G["name"]: "random_vit_l.safetensors",
    DECODER["name"]: "random_k22_decoder.safetensors",
    MOVQ["name"]: "random_k22_movq.safetensors",
    PRIOR["name"]: "random_k22_prior.safetensors",
    TEXT_ENCODER["name"]: "random_big_g.safetensors",
}
"""Model file -> the random weights of weights.py in the same folder."""


def use_stand_ins(prompt: dict):
    """Put the random weights in the place of every model file that a prompt names."""
    for node in prompt.values():
        for name, value in node["inputs"].items():
            if isinstance(value, str):
                node["inputs"][name] = STAND_INS.get(value, value)
