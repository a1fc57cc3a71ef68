"""All that is said of a search, the most important first."""

from __future__ import annotations

from kerasgrid.report.findings import Findings
from kerasgrid.report.remarks import curve_sentences, trouble_sentences
from kerasgrid.report.sentences import (
    best_sentences,
    edge_sentence,
    effect_sentences,
    interaction_sentence,
)


def conclusions(findings: Findings) -> list[str]:
    """Returns all sentences, the most important first."""
    return [
        *best_sentences(findings),
        *trouble_sentences(findings),
        *effect_sentences(findings).values(),
        *map(interaction_sentence, findings.interactions),
        *map(edge_sentence, findings.edges),
        *curve_sentences(findings),
    ]
