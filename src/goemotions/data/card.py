"""README.md of data/<dataset>: what is in it, and how `datasets.load_dataset` reads it."""

import yaml

from goemotions.config.dataset_settings import Dataset, FilesDataset, HubDataset
from goemotions.data.labels import Labels
from goemotions.data.splits import SPLITS

_LICENCES = {"google-research-datasets/go_emotions": "apache-2.0"}


def dataset_card(name: str, settings: Dataset, labels: Labels) -> str:
    """The text of README.md: a YAML block for `datasets`, then the same for people."""
    names = {str(index): label for index, label in enumerate(labels.names)}
    header = {
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "validation" if split == "val" else split, "path": f"{split}.jsonl"}
                    for split in SPLITS
                ],
            }
        ],
        "dataset_info": {
            "features": [
                {"name": "id", "dtype": "string"},
                {"name": "text", "dtype": "string"},
                {"name": "labels", "sequence": {"class_label": {"names": names}}},
            ]
        },
    }
    if isinstance(settings, HubDataset):
        origin = f"The rows of {settings.repo} on the Hugging Face Hub at {settings.revision}."
        if settings.repo in _LICENCES:
            header = {"license": _LICENCES[settings.repo], **header}
    elif isinstance(settings, FilesDataset):
        origin = f"The rows of the files in texts/{name}."
    else:
        origin = "Generated sentences. What is measured on them says nothing about GoEmotions."
    block = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    return (
        f"---\n{block}---\n# {name}\n\n{origin}\n\n"
        f'`datasets.load_dataset("data/{name}")` gives the splits train, validation and test.\n'
    )
