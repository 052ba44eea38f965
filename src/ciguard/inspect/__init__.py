"""What is in a text: secrets to mask, and the structure that rules speak of."""
