"""Errors that callers get."""


class Refusal(Exception):
    """Answered with `status` and {"error": sentence}."""

    def __init__(self, status, sentence):
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""
