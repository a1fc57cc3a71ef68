"""Results in any form that people have, read as tables of trials."""
