"""Here a token is a character."""

import pytest
from tiny_models import Characters


@pytest.fixture(scope="session")
def tokenizer(characters: Characters) -> Characters:
    return characters
