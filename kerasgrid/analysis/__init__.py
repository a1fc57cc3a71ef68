"""What a search has taught: numbers with their evidence, from a table of trials. Nothing is drawn here."""
