"""The tasks, by name. A new one: a file with a subclass of `Task`, a line here, its defaults in `defaults.py`."""

from mmtransfer.registry import Registry
from mmtransfer.tasks.base import Batch, Encoded, Prediction, Predictions, Task, collate
from mmtransfer.tasks.image_classification import ImageClassification
from mmtransfer.tasks.speech_recognition import SpeechRecognition
from mmtransfer.tasks.text_classification import TextClassification

TASKS: Registry[type[Task]] = Registry("task", "task")
for _task in (ImageClassification, TextClassification, SpeechRecognition):
    TASKS.add(_task.name, _task)

__all__ = [
    "TASKS",
    "Batch",
    "Encoded",
    "ImageClassification",
    "Prediction",
    "Predictions",
    "SpeechRecognition",
    "Task",
    "TextClassification",
    "collate",
]
