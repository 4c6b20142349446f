"""The text tower of an OpenCLIP model: hidden states and pooled vector of a text."""

import logging
import re
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from ..errors import DriftError
from ..text import TextStates, until_end
from .library import ClipModel


@torch.inference_mode()
def encode_text(model: ClipModel, tokenizer, texts: list[str], name: str) -> TextStates:
    """Run the text tower on the device where the model is.

    Args:
        tokenizer: see `build_tokenizer`.
        name: of the model, for an error.

    Returns:
        States after the final layer norm and projected vectors, float32.

    Raises:
        DriftError: the model has no text tower of the usual kind, or another tokenizer's.
    """
    tower = model.text if hasattr(model, "text") else model
    norm = getattr(tower, "ln_final", None)
    if norm is None:
        raise DriftError(
            f"{name} has no text tower of OpenCLIP's own kind, which gives a state for each token: "
            "choose another model."
        )
    tokens, mask = _tokenise(tokenizer, texts)
    known = tower.token_embedding.num_embeddings
    if tokens.max() >= known:
        raise DriftError(
            f"{name} knows {known} tokens, its tokenizer gives number {tokens.max()}: name the "
            "tokenizer that it was trained with in the text_cfg of its open_clip_config.json."
        )
    seen = []
    hook = norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        pooled = model.encode_text(tokens.to(next(model.parameters()).device))
    finally:
        hook.remove()
    states = seen[-1]
    if states.shape[:2] != tokens.shape:
        raise DriftError(
            f"{name} gives no state for each token (CoCa?): choose a model with a plain text tower."
        )
    return TextStates(states.float(), pooled.float(), mask.to(states.device))


def _tokenise(tokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    """(B, T) token numbers and their mask; what is beyond the window is cut, with a warning."""
    tokens = tokenizer(texts)
    end = _end_token(tokenizer)
    if end is None:
        return tokens, torch.ones_like(tokens, dtype=torch.bool)
    window = tokens.shape[1]
    if until_end(tokenizer(texts, context_length=window + 1), end)[:, window].any():
        logging.warning(
            "CLIP Drift: the text is longer than the window of %d tokens, the rest is not used.",
            window,
        )
    return tokens, until_end(tokens, end)


def spelt_words(tokenizer, text: str) -> list[str]:
    """The words of three letters or more that a tokenizer does not know: it spells them, or a part.

    Args:
        tokenizer: open_clip's own kind, with the vocabulary of a model; of others nothing is told.
    """
    if not hasattr(tokenizer, "bpe"):
        return []
    words = dict.fromkeys(re.findall(r"[^\W\d_]{3,}", text.lower()))
    return [word for word in words if min(map(len, _pieces(tokenizer, word)), default=0) == 1]


def _pieces(tokenizer, word: str) -> list[str]:
    return [tokenizer.decoder[token].removesuffix("</w>") for token in tokenizer.encode(word)]


def _end_token(tokenizer) -> int | None:
    """None where the model's text has no end and it looks at the padding too."""
    own = getattr(tokenizer, "eot_token_id", None)
    return own if own is not None else getattr(tokenizer.tokenizer, "eos_token_id", None)


def build_tokenizer(open_clip: ModuleType, text_cfg: dict, folder: Path, name: str):
    """The tokenizer that a model's text_cfg asks for. Nothing is downloaded.

    Args:
        text_cfg: as in open_clip_config.json. `hf_tokenizer_name` may be a folder, and
            `bpe_path` of `tokenizer_kwargs` a file, beside the weights.
        folder: where the weights are.

    Raises:
        DriftError: the tokenizer is not on this computer.
    """
    hub_name = text_cfg.get("hf_tokenizer_name")
    wanted = hub_name or "of its config"
    try:
        options = dict(text_cfg.get("tokenizer_kwargs") or {})
        wanted = hub_name or options.get("bpe_path", "open_clip's own")
        options["context_length"] = text_cfg.get("context_length", 77)
        if hub_name:
            local = folder / hub_name
            return open_clip.tokenizer.HFTokenizer(
                str(local) if local.is_dir() else hub_name,
                tokenizer_mode=text_cfg.get("tokenizer_mode"),
                local_files_only=True,
                **options,
            )
        if "bpe_path" in options:
            options["bpe_path"] = str(folder / options["bpe_path"])
        return open_clip.tokenizer.SimpleTokenizer(**options)
    except Exception as error:  # whatever the reader of a damaged vocabulary runs into
        reason = " ".join(str(error).split())[:200]
        raise DriftError(
            f"{name} needs the tokenizer {wanted}, which cannot be read ({reason}): put it beside "
            "the weights, or choose another model."
        ) from error
