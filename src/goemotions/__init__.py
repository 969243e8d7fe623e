"""Which loss makes a DeBERTa-v3 the best multi-label emotion classifier on GoEmotions?"""

__version__ = "0.1.0"
