"""Text towers out of weights: the names that Hugging Face's and OpenCLIP's files give them."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import DriftError
from .tower import Layer, TextTower, Weights

HEAD = 64
"""Width of a head in every CLIP text tower that was published by its makers or by OpenCLIP."""


def quick_gelu(x: Tensor) -> Tensor:
    """`x·σ(1.702 x)`, OpenAI's approximation of the GELU.

    Reference: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "quick_gelu": quick_gelu,
    "gelu": functional.gelu,
}


@dataclass(frozen=True, eq=False)
class Stored:
    """A layer's own tensors, lent as `Weights`."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, like: Tensor) -> AbstractContextManager[tuple[Tensor, Tensor | None]]:
        """In the type and on the device of `like`."""
        bias = None if self.bias is None else self.bias.to(like)
        return nullcontext((self.weight.to(like), bias))


def hugging_face_tower(
    tokens: Callable[[Tensor], Tensor], lend: Callable[[str], Weights], layers: int, **about
) -> TextTower:
    """A tower whose layers have Hugging Face's names, as ComfyUI keeps all of them.

    Args:
        tokens: looks token numbers up.
        lend: gives the weights of a layer by its name, "encoder.layers.0.mlp.fc1" for one.
        layers: how many blocks there are.
        about: the other attributes of `TextTower`.
    """

    def block(number: int) -> Layer:
        name = f"encoder.layers.{number}"
        attention = (f"self_attn.{part}_proj" for part in ("q", "k", "v", "out"))
        parts = ("layer_norm1", *attention, "layer_norm2", "mlp.fc1", "mlp.fc2")
        return Layer(*(lend(f"{name}.{part}") for part in parts))

    return TextTower(
        tokens=tokens,
        positions=lend("embeddings.position_embedding"),
        layers=tuple(map(block, range(layers))),
        final_norm=lend("final_layer_norm"),
        **about,
    )


def tower_from_state(
    state: Mapping[str, Tensor],
    *,
    activation: str | Callable[[Tensor], Tensor] = "quick_gelu",
    heads: int | None = None,
    projection: Tensor | None = None,
    name: str = "the text tower",
) -> TextTower:
    """The text tower in a model's tensors, in whichever of the two layouts they are.

    Args:
        state: name → tensor; other models' tensors may be among them, under other prefixes.
        activation: a key of `ACTIVATIONS`, or the function itself: tensors do not tell.
        heads: H; as many as are 64 wide by default.
        projection: (N, W) where the state has none.
        name: for a message.

    Raises:
        DriftError: there is no text tower, or one with more to it than CLIP's.
    """
    activation = ACTIVATIONS[activation] if isinstance(activation, str) else activation
    for read, first in (
        (_from_hugging_face, "text_model.embeddings.token_embedding.weight"),
        (_from_open_clip, "token_embedding.weight"),
    ):
        found = [key for key in state if key.endswith(first)]
        if found:
            prefix = min(found, key=len).removesuffix(first)
            own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            width = state[prefix + first].shape[1]
            tower = read(own, activation, heads or width // HEAD, width, name)
            return (
                tower
                if tower.projection is not None or projection is None
                else (tower.with_projection(projection))
            )
    raise DriftError(f"{name} holds no CLIP text tower: choose a model that reads texts.")


def _from_hugging_face(state, activation, heads, width, name) -> TextTower:
    def lend(layer: str) -> Weights:
        return Stored(state[f"text_model.{layer}.weight"], state.get(f"text_model.{layer}.bias"))

    return hugging_face_tower(
        _table(state["text_model.embeddings.token_embedding.weight"]),
        lend,
        _count(state, "text_model.encoder.layers."),
        projection=state.get("text_projection.weight"),
        heads=heads,
        activation=activation,
        width=width,
        window=len(state["text_model.embeddings.position_embedding.weight"]),
        name=name,
    )


def _from_open_clip(state, activation, heads, width, name) -> TextTower:
    def stored(layer: str) -> Stored:
        return Stored(state[f"{layer}.weight"], state.get(f"{layer}.bias"))

    def block(number: int) -> Layer:
        at = f"transformer.resblocks.{number}"
        if f"{at}.ls_1.gamma" in state:
            raise DriftError(
                f"{name} scales its layers (CoCa?), which is not supported: choose a CLIP model."
            )
        weights = state[f"{at}.attn.in_proj_weight"].chunk(3)
        biases = state[f"{at}.attn.in_proj_bias"].chunk(3)
        query, key, value = map(Stored, weights, biases)
        return Layer(
            stored(f"{at}.ln_1"),
            query,
            key,
            value,
            stored(f"{at}.attn.out_proj"),
            stored(f"{at}.ln_2"),
            stored(f"{at}.mlp.c_fc"),
            stored(f"{at}.mlp.c_proj"),
        )

    positions = state["positional_embedding"]
    return TextTower(
        tokens=_table(state["token_embedding.weight"]),
        positions=Stored(positions),
        layers=tuple(map(block, range(_count(state, "transformer.resblocks.")))),
        final_norm=stored("ln_final"),
        projection=open_clip_projection(state),
        heads=heads,
        activation=activation,
        width=width,
        window=len(positions),
        name=name,
    )


def _table(weight: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda tokens: functional.embedding(tokens.to(weight.device), weight)


def open_clip_projection(state: Mapping[str, Tensor]) -> Tensor | None:
    """(N, W) of a model in OpenCLIP's layout; None where its text tower has none.

    A parameter of its own, (W, N), or a linear layer; in a tower of its own in some models.
    """
    for prefix in ("", "text."):
        bare = state.get(f"{prefix}text_projection")
        if bare is not None:
            return bare.mT
        if f"{prefix}text_projection.weight" in state:
            return state[f"{prefix}text_projection.weight"]
    return None


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({k.removeprefix(prefix).split(".")[0] for k in state if k.startswith(prefix)})
