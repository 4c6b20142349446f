"""CLIP Drift/Kandinsky 2.2, the decoder: a MODEL and a VAE for ComfyUI's own nodes."""

from comfy_api.latest import io

from ...nodes.core.folders import fingerprint
from .files import choices, resolve
from .model import WEIGHT_DTYPES, clip_predictions, decoder_config, load_decoder
from .vae import load_movq


class Kandinsky22LoadDecoder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Kandinsky22LoadDecoder",
            display_name="Load Kandinsky 2.2 Decoder",
            category="CLIP Drift/Kandinsky 2.2",
            description="Load Kandinsky 2.2's decoder and its MoVQ as a native model and VAE, for "
            "KSampler, VAE Decode, VAE Encode, LoRA loaders and masks. Its conditioning comes from "
            "Kandinsky 2.2 Prior.",
            search_aliases=["kandinsky", "unet loader", "diffusion model loader", "movq"],
            inputs=[
                io.Combo.Input(
                    "unet_name",
                    choices("unet"),
                    tooltip="unet/diffusion_pytorch_model.safetensors of kandinsky-2-2-decoder, or "
                    "of kandinsky-2-2-decoder-inpaint: in models/diffusion_models under any name, "
                    "or as the hub's folder in models/diffusers. Its size is read from the "
                    "weights.",
                ),
                io.Combo.Input(
                    "movq_name",
                    choices("movq"),
                    tooltip="movq/diffusion_pytorch_model.safetensors of the same model: in "
                    "models/vae under any name, or as the hub's folder in models/diffusers.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    list(WEIGHT_DTYPES),
                    default="default",
                    tooltip="As in Load Diffusion Model: fp8 halves the memory that fp16 weights "
                    "take, at some cost in quality.",
                    advanced=True,
                ),
                io.Boolean.Input(
                    "clip_x0",
                    default=True,
                    tooltip="Keep what every step predicts for the finished latent within -1 and "
                    "1, as the official scheduler does. Off: the prediction is used as it is.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model",
                    tooltip="For KSampler and any other sampler, LoRA loaders and model patches. "
                    "cfg 4 is usual.",
                ),
                io.Vae.Output("vae", tooltip="The MoVQ, for VAE Decode and VAE Encode."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, unet_name, movq_name, weight_dtype, clip_x0):
        files = resolve(unet_name, "unet", "unet_name"), resolve(movq_name, "movq", "movq_name")
        return " ".join(map(fingerprint, files))

    @classmethod
    def execute(cls, unet_name, movq_name, weight_dtype, clip_x0):
        path = resolve(unet_name, "unet", "unet_name")
        decoder_config(path)  # a wrong file is told before the MoVQ is loaded, too
        vae = load_movq(resolve(movq_name, "movq", "movq_name"))
        model = load_decoder(path, vae, WEIGHT_DTYPES[weight_dtype])
        if clip_x0:
            clip_predictions(model)
        return io.NodeOutput(model, vae)


NODES = [Kandinsky22LoadDecoder]
