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
SDXL = model_file(
    "sd_xl_base_1.0.safetensors",
    f"{HUB}/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/sd_xl_base_1.0.safetensors",
    "checkpoints",
)
SD3 = model_file(
    "sd3.5_medium.safetensors",
    f"{HUB}/stabilityai/stable-diffusion-3.5-medium/resolve/main/sd3.5_medium.safetensors",
    "checkpoints",
)
SD3_TEXT = f"{HUB}/Comfy-Org/stable-diffusion-3.5-fp8/resolve/main/text_encoders"
CLIP_L = model_file("clip_l.safetensors", f"{SD3_TEXT}/clip_l.safetensors", "text_encoders")
CLIP_G = model_file("clip_g.safetensors", f"{SD3_TEXT}/clip_g.safetensors", "text_encoders")
OPENAI = "ViT-L-14/openai"
"""CLIP ViT-L/14 with its text tower, by open_clip's name for it."""
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
    SDXL["name"]: "random_sdxl.safetensors",
    SD3["name"]: "random_sd3.safetensors",
    CLIP_L["name"]: "random_clip_l.safetensors",
    CLIP_G["name"]: "random_big_g.safetensors",
    OPENAI: "random_as_clip_l.safetensors",
    DECODER["name"]: "random_k22_decoder.safetensors",
    MOVQ["name"]: "random_k22_movq.safetensors",
    PRIOR["name"]: "random_k22_prior.safetensors",
    TEXT_ENCODER["name"]: "random_big_g.safetensors",
}
"""Model file -> the random weights of weights.py in the same folder."""


def use_stand_ins(prompt: dict):
    """Put the random weights in the place of every model file that a prompt names.

    SDXL needs a reader of bigG's 1280 dimensions: a small OpenCLIP model is one.
    """
    sdxl = any(SDXL["name"] in node["inputs"].values() for node in prompt.values())
    for node in prompt.values():
        if sdxl and node["inputs"].get("clip_name") == BIG_G["name"]:
            node["class_type"] = "ClipDriftLoadOpenCLIP"
            node["inputs"] = {
                "model": "random_as_big_g.safetensors",
                "precision": "auto",
                "allow_download": False,
            }
        for name, value in node["inputs"].items():
            if isinstance(value, str):
                node["inputs"][name] = STAND_INS.get(value, value)
