"""What plain transformers of any version makes of model folders; none of the project is imported.

`python plain.py FOLDER... < texts.json` prints it as JSON.
"""

import json
import sys


def answers(folder, texts):
    """A trained folder's ids, logits and probabilities of the texts, and what its config says."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    classify = pipeline("text-classification", folder, top_k=None)
    with torch.inference_mode():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts]
    return {
        "ids": [tokenizer(text)["input_ids"] for text in texts],
        "logits": [row.tolist() for row in logits],
        "pipeline": [{e["label"]: e["score"] for e in classify([text])[0]} for text in texts],
        "labels": {str(index): label for index, label in model.config.id2label.items()},
        "problem type": model.config.problem_type,
        "dtype": str(model.dtype),
        "longest": tokenizer.model_max_length,
        "special tokens": tokenizer.special_tokens_map,
    }


if __name__ == "__main__":
    import transformers

    given = json.load(sys.stdin)
    found = {folder: answers(folder, given) for folder in sys.argv[1:]}
    print(json.dumps({"version": transformers.__version__, "found": found}))
