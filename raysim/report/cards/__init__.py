"""Cards in the form of the Hugging Face hub: of a model that is exported, and of the code of each organization."""
