"""Words: which tokens of a prompt a mask picks, with two simple tokenizers."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.clip_drift.errors import DriftError
from pack.clip_drift.spaces import without_start_tokens
from pack.clip_drift.words import Token, select_words

START, END = Token("<start>", 1.0, False), Token("<end>", 1.0, False)
LENGTH = 16


def weighted(text: str):
    """(piece, weight) pairs of text with `(piece:0.5)` in it."""
    for bracketed, weight, plain in re.findall(r"\(([^:()]*):([-\d.]+)\)|([^()]+)", text):
        yield (plain, 1.0) if plain else (bracketed, float(weight))


def by_word(text: str) -> list[Token]:
    """Like CLIP: start, word pieces of at most four letters, end, padding; case is ignored."""
    tokens = [
        Token(word[i : i + 4], weight, True)
        for piece, weight in weighted(text)
        for word in re.findall(r"\w+", piece.lower())
        for i in range(0, len(word), 4)
    ]
    return ([START, *tokens, END] + [END] * LENGTH)[:LENGTH]


def with_spaces(text: str) -> list[Token]:
    """Like SentencePiece and byte-level BPE: the space before a word belongs to it."""
    return [
        Token(word, weight, True)
        for piece, weight in weighted(text)
        for word in re.findall(r" ?\w+", piece)
    ] + [END]


def select(text: str, words: str, tokenize=by_word):
    return select_words(tokenize(text), words, tokenize)


def test_the_articles_example_moves_the_verb_alone():
    mask = select("мама моет раму", "моет")
    # Token 0 is the start of the text.
    assert mask.weights.tolist() == [0, 0, 1] + [0] * 13
    assert mask.weights.dtype == torch.float32
    assert mask.words == ("моет: token 2",)


@pytest.mark.parametrize("words", ["running, fox", "running\nfox", " running ,\n\n fox,,"])
def test_words_are_separated_by_commas_and_line_breaks(words):
    # start a red fox runn ing fast
    mask = select("a red fox running fast", words)
    assert mask.weights.nonzero().flatten().tolist() == [3, 4, 5]
    assert mask.words == ("running: token 4, 5", "fox: token 3")


def test_a_word_of_several_tokens_is_found_by_its_tokens():
    # The word is "runn" + "ing" here; "run" is neither.
    with pytest.raises(DriftError, match="'run' is not in the text"):
        select("a fox running", "run")
    assert select("a fox running", "running").weights.sum() == 2


def test_a_phrase_matches_in_order_only():
    assert select("a red fox", "red fox").weights.nonzero().flatten().tolist() == [2, 3]
    with pytest.raises(DriftError, match="'fox red' is not in the text"):
        select("a red fox", "fox red")
    with pytest.raises(DriftError, match="'a fox' is not in the text"):
        select("a red fox", "a fox")


def test_every_place_of_a_word_is_found():
    mask = select("fox and fox and fox", "fox")
    assert mask.weights.nonzero().flatten().tolist() == [1, 3, 5]
    assert mask.words == ("fox: token 1, 3, 5",)


def test_repeats_may_overlap():
    assert select("ha ha ha", "ha ha").weights[:5].tolist() == [0, 1, 1, 1, 0]


def test_emphasis_in_the_words_is_the_share_of_the_strength():
    mask = select("a red fox running", "(fox:0.5), running, (red:0.25)")
    assert mask.weights[:7].tolist() == [0, 0, 0.25, 0.5, 1, 1, 0]


def test_shares_stay_between_nothing_and_all():
    assert select("a red fox", "(fox:3), (red:-1)").weights[:4].tolist() == [0, 0, 0, 1]


def test_emphasis_in_the_text_does_not_hide_a_word():
    # Weight in the prompt is how strongly it is drawn, not how far it moves.
    assert select("a (red:1.4) fox", "red").weights[:4].tolist() == [0, 0, 1, 0]


def with_parentheses(text: str) -> list[Token]:
    """Like ComfyUI's: escaped parentheses are tokens, others an emphasis of what they hold."""
    text = text.replace(r"\(", "⟨").replace(r"\)", "⟩")
    pieces = re.findall(r"\w+|[⟨⟩()]", text)
    return [START, *(Token(piece, 1.0, True) for piece in pieces if piece not in "()"), END]


@pytest.mark.parametrize("words", [r"fox\(animal\)", "fox(animal)", "fox (animal)"])
@pytest.mark.parametrize(
    ("text", "places"), [(r"a red fox\(animal\) runs", 4), ("a red fox(animal) runs", 2)]
)
def test_escaped_parentheses_are_parentheses(text, places, words):
    """fox ⟨ animal ⟩ are four tokens; without the escape they are two, with an emphasis."""
    weights = select(text, words, with_parentheses).weights
    assert weights.nonzero().flatten().tolist() == [3, 4, 5, 6][:places]


def test_a_word_in_parentheses_is_still_its_own_share():
    mask = select(r"a (red) fox, \(red\)", "(red:0.5)")
    assert mask.weights.nonzero().flatten().tolist() == [2, 4]
    assert mask.weights.max() == 0.5


@pytest.mark.parametrize("word", ["fox", "red", "jumps"])
def test_tokenizers_that_glue_the_space_to_a_word(word):
    text = "fox jumps over a red fox"
    places = [i for i, w in enumerate(text.split()) if w == word]
    mask = select(text, word, with_spaces)
    assert mask.weights.nonzero().flatten().tolist() == places
    assert mask.words == (f"{word}: token {', '.join(map(str, places))}",)


@pytest.mark.parametrize("words", ["", "  ", ",", "\n,\n"])
def test_no_words_are_an_error(words):
    with pytest.raises(DriftError, match="words is empty"):
        select("a red fox", words)


@pytest.mark.parametrize("word", ["cat", "foxes", "?!", "the very long phrase that has no end"])
def test_a_word_that_is_not_there_is_named(word):
    with pytest.raises(DriftError, match=re.escape(f"'{word}' is not in the text")):
        select("a red fox", f"fox, {word}")


def test_start_end_and_padding_are_never_words():
    # A word that the tokenizer knows nothing of comes to the special tokens alone.
    with pytest.raises(DriftError, match="not in the text"):
        select_words(by_word("fox"), "x", lambda _: [START, END])


def test_a_phrase_may_lie_across_the_seam_of_two_chunks():
    # Long prompts come in chunks with start and end tokens between words.
    text = [START, Token("red", 1, True), END, START, Token("fox", 1, True), END]
    mask = select_words(text, "red fox", by_word)
    assert mask.weights.tolist() == [0, 1, 0, 0, 1, 0]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_words_of_any_text_are_found_where_they_are(data):
    words = st.sampled_from(["a", "red", "fox", "sees", "dog"])
    text = data.draw(st.lists(words, min_size=1, max_size=12), "text")
    wanted = data.draw(st.lists(st.sampled_from(text), min_size=1, max_size=4), "wanted")
    # No word is longer than four letters, so word i is token i + 1.
    expected = [float(word in wanted) for word in text]
    got = select(" ".join(text), ", ".join(wanted)).weights
    assert got[1 : len(text) + 1].tolist() == expected
    assert got.sum() == sum(expected)


@pytest.mark.parametrize("tokens", [77, 154, 231])
def test_start_tokens_of_clip_chunks_are_left_alone(tokens):
    weights = without_start_tokens(tokens)
    assert weights.shape == (tokens,)
    assert (weights == 0).nonzero().flatten().tolist() == list(range(0, tokens, 77))


@pytest.mark.parametrize("tokens", [1, 76, 78, 256])
def test_encoders_without_start_tokens_move_whole(tokens):
    assert torch.equal(without_start_tokens(tokens), torch.ones(tokens))
