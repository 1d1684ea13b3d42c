"""`fit(...)` makes a run, `load(folder)` opens one; a Run predicts and evaluates."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from mmtransfer import dataframes, showing, signatures
from mmtransfer.backbones import carried, outside, weights
from mmtransfer.backbones.manifest import MANIFEST
from mmtransfer.cache import settings
from mmtransfer.cache.settings import Cache
from mmtransfer.config import RunConfig
from mmtransfer.config.typed import Settings
from mmtransfer.data import given, sources
from mmtransfer.data.kinds import INPUTS
from mmtransfer.data.sources import Table
from mmtransfer.embedding import COLUMNS, Features, features_of
from mmtransfer.engine import precision, processes, provenance
from mmtransfer.engine.evaluation import Records, evaluate
from mmtransfer.engine.features import cached_features
from mmtransfer.engine.loading import examples_of
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.plain import PlainModel
from mmtransfer.errors import MMTransferError, damaged
from mmtransfer.reporting import hearing_warnings
from mmtransfer.resolution import complete, resolve
from mmtransfer.run import RunFolder, default_name
from mmtransfer.tasks import TASKS, Prediction, of_modality

if TYPE_CHECKING:
    import pandas

    from mmtransfer.metrics import Score

logger = logging.getLogger("mmtransfer")


def fit(config: RunConfig | None = None, **fields: Unpack[Settings]) -> Run:
    """Trains a model and writes its run folder.

    `config`: all settings, or None; `fields`: settings by name, before those of `config`, which `RunConfig` explains.
    `strategy` may be a name or a strategy object such as `strategies.Partial(n=2)`, or one of your own; `backbone` a
    name, a folder, or a module of torch (`backbones.wrap`); data may be paths, `builtin:NAME`, `hub:NAME`, frames,
    dicts of columns, Datasets (of torch or the hub) or lists of rows. `train` has to be given, unless `resume` is:
    `train="builtin"` takes the task's built-in data, with settings that suit it.
    Raises MMTransferError for what a user can mend, before the first step where it can be known then.

    >>> data = {"train": "train.csv", "test": "test.csv", "backbone": "path/to/bert"}
    >>> run = mmt.fit(task="text-classification", **data, strategy="linear-probe", out="runs/c")
    >>> print(run.metrics["test"]["accuracy"])
    1.0000 (0.7847 to 1.0000)
    """
    from mmtransfer.engine import determinism, sharding, tracking
    from mmtransfer.fitting import fit_run

    warnings: list[str] = []
    with hearing_warnings(warnings):
        config = resolve(config, **fields)
    tracking.check(config.track)
    sharding.refuse()
    determinism.prepare(config.deterministic)
    accelerator = processes.accelerator()
    sharding.refuse(accelerator.distributed_type)
    out = processes.shared(accelerator, config.out or default_name(config.task))
    config = dataclasses.replace(config, out=str(out))
    folder = RunFolder(Path(out))
    if config.resume and folder.result.exists() and folder.read_result()["status"] == "finished":
        logger.info("%s has finished; nothing to resume", folder.path)
        return load(folder.path)
    if not config.resume:
        processes.together(accelerator, lambda: folder.check(config.overwrite, config.as_dict()))
    fit_run(config, accelerator, folder, warnings)
    return load(folder.path)


fit.__signature__ = signatures.of_settings()  # type: ignore[attr-defined]


def load(folder: str | Path, **fields: Any) -> Run:
    """Opens a run; `fields`: settings of reading data (`COLUMNS`, `skip_bad`) that other data need, `decode`: how a
    transcript is found, greedy or beam, where the run's own way is not wanted; and `backbone`: the module of a run that
    was given one in another process.

    Raises MMTransferError if the folder is no run, is damaged, or the run has not ended.

    >>> run = mmt.load("runs/a")
    >>> run.config.strategy, run.result["status"]
    ('linear-probe', 'finished')
    """
    place = RunFolder(Path(folder))
    module = fields.pop("backbone", None)
    if module is not None:
        outside.lend(module, weights.description(place.model), str(folder))
    strange = fields.keys() - {*COLUMNS, "skip_bad", "decode"}
    if strange:
        raise MMTransferError(
            f"A run is used with its own settings, not with {', '.join(sorted(strange))}", str(folder), "leave them out"
        )
    result, config = place.read_result(), complete(place.read_config() | fields, str(place.config))
    if result["task"] != config.task:
        raise damaged(place.config, ValueError(f"its task is {config.task}, that of result.json {result['task']}"))
    return Run(place, result, config)


def evaluate_backbone(backbone: str, test: Any, weights: str | None = None, **fields: Any) -> dict[str, Score]:
    """All metrics, on labelled data, of a checkpoint that carries a head, without any training.

    `backbone`: a torchvision network, or a folder or hub name of transformers with a text classifier or a CTC model;
    `weights`: of a torchvision network, the name of published weights or a file. Labels of the data are those of the
    checkpoint, case aside; the numbers of its classes where it has no names for them; `fields`: as `load` takes them.
    Raises MMTransferError where there is no head, and for labels that it does not have.
    """
    sources.refuse_missing(test, "--test")
    found = carried.load_with_head(backbone, weights)
    name = of_modality(found.backbone.modality)
    config = complete({"task": name, **found.settings, **fields})
    task = TASKS[name].make(config, found.backbone)
    head = task.adopt(found)
    table = sources.load(test, task.input.kind, task.columns(), config.skip_bad, "--test", split="test")
    table = task.check(task.match(table), "test")
    machine = Machine.as_it_is(config, processes.for_inference())
    model = Model(found.backbone, head, task, machine.precision).eval().to(machine.device)
    return task.target.measure(evaluate(model, examples_of(task, table), machine))


@dataclass(repr=False)
class Run:
    """A run that has ended: its numbers, and its model, which is read at first use.

    >>> run = mmt.load("runs/a")
    >>> run
    Run(runs/a: text-classification, linear-probe on path/to/bert, test accuracy 1.0000 (0.7847 to 1.0000), n=14)
    >>> run.model.task.target.labels.names
    ['negative', 'positive']
    """

    folder: RunFolder
    result: dict[str, Any]
    config: RunConfig

    def __repr__(self) -> str:
        return showing.line(self.folder, self.result)

    def _repr_html_(self) -> str:
        return showing.table(self.folder, self.result)

    @property
    def metrics(self) -> dict[str, dict[str, Score]]:
        """By split and name the scores with their intervals: `score.value` or `score["value"]`, low, high, n, method.

        >>> score = mmt.load("runs/a").metrics["test"]["accuracy"]
        >>> score.value, score["value"], score.n
        (1.0, 1.0, 14)
        """
        from mmtransfer.metrics.intervals import Score

        stored = self.result["metrics"].items()
        return {split: {name: Score.of(found) for name, found in scores.items()} for split, scores in stored}

    def to_frame(self, split: str = "test") -> pandas.DataFrame:
        """The stored predictions on `validation` or `test`: a row an example with id, target, prediction, loss, and
        what else is kept of it; of one class each `score`, the probability of the answer.

        Raises MMTransferError for a split that the run was not scored on.

        >>> mmt.load("runs/a").to_frame("test").columns[:4].tolist()
        ['id', 'target', 'prediction', 'score']
        """
        return dataframes.predictions(self.folder, self.result, self.config, split)

    @property
    def history(self) -> pandas.DataFrame:
        """How training went: a row every `log_every` steps with step, phase, epoch, loss (the mean since the last row),
        lr and examples_per_second; no rows where the head was found exactly."""
        return dataframes.history(self.folder)

    @property
    def confusion(self) -> pandas.DataFrame:
        """How many examples of each class (rows) got each answer (columns), of the test data, or of validation where
        there are none. Raises MMTransferError where an example has not one class.

        >>> mmt.load("runs/a").confusion.to_numpy().tolist()
        [[7, 0], [0, 7]]
        """
        return dataframes.confusion(self.folder, self.result, self.config)

    @cached_property
    def model(self) -> Model:
        """Backbone and head, in eval mode."""
        whole = (self.folder.model / MANIFEST).is_file() or self.result["status"] == "finished"
        if not self.folder.model.is_dir() or not whole:
            raise self.folder.unfinished("The run has no whole model")
        place, file = self.folder.model / "task.json", self.folder.model / "head.safetensors"
        described = self.folder.read(place, {"task": str, "state": {}})
        tensors = self.folder.tensors(file)
        backbone = weights.read_model(self.folder.model)
        task = TASKS[self.config.task].make(self.config, backbone)
        try:
            if described["task"] != self.config.task:
                raise ValueError(f"its task is {described['task']}, that of the run {self.config.task}")
            task.restore(described["state"], self.folder.model)
        except (KeyError, ValueError, TypeError) as error:
            raise damaged(place, error) from None
        head = task.target.head(backbone.width)
        try:
            head.load_state_dict(tensors)
        except RuntimeError as error:
            raise damaged(file, ValueError(str(error).splitlines()[-1].strip())) from None
        backbone.freeze(range(len(backbone.stages)))
        device = processes.for_inference().device
        model = Model(backbone, head, task, precision.usable(self.config.precision, device)).eval()
        precision.lay_out(model, self.config.layout)
        return model

    def torch(self) -> PlainModel:
        """The model as a plain module of torch, from a tensor to a tensor (`PlainModel`); its parameters are the run's.

        >>> module = mmt.load("runs/a").torch()
        >>> module(*module.encode(["a great plot", "an awful tune"])).argmax(1).tolist()
        [1, 0]
        """
        return PlainModel(self.model)

    def predict(self, inputs: Any) -> Any:
        """A `Prediction` for one input, a list of them for many.

        `inputs`: one is a text, a picture (PIL image, array, file), a recording (file, (samples, rate), array). Many
        are a list, an array with one more axis, a Series, a DataFrame, a dict of columns, a Dataset, a folder, a table.
        A string is a path where something is there, where it has a separator or the suffix of a data file; other
        strings are texts, for tasks on texts.

        >>> run = mmt.load("runs/a")
        >>> run.predict("a great plot").label
        'positive'
        >>> [prediction.label for prediction in run.predict(["a great plot", "an awful tune"])]
        ['positive', 'negative']
        """
        source, alone = self._gathered(inputs)
        predictions = self._predictions(source)
        return predictions[0] if alone else predictions

    def _gathered(self, inputs: Any) -> tuple[Any, bool]:
        task = self.model.task
        return given.gather(inputs, INPUTS[task.input.kind], task.columns())

    def _predictions(self, source: Any) -> list[Prediction]:
        task, target = self.model.task, self.model.task.target
        table = self._table(source, labelled=False, option="the inputs")
        pieces, owners = task.input.pieces(table)
        spans = task.input.spans(pieces)
        target.wants_times = target.timed
        try:
            records = dict(self._records(pieces, "predicting"))
        finally:
            target.wants_times = False
        if spans is not None:
            records |= {"begin": [begin for begin, _ in spans], "seconds": [seconds for _, seconds in spans]}
        parts: list[list[dict[str, Any]]] = [[] for _ in range(len(table))]
        for place, owner in enumerate(owners):
            parts[owner].append({name: values[place] for name, values in records.items()})
        return [target.present({**target.join(own), "id": name}) for own, name in zip(parts, table.ids, strict=True)]

    def embed(self, inputs: Any) -> Features:
        """Pooled features of the backbone, for what `predict` takes; of speech the mean over the valid frames.

        >>> mmt.load("runs/a").embed(["a great plot", "an awful tune"]).values.shape
        (2, 32)
        """
        model = self.model
        pooled = Model(model.backbone, model.head, model.task, model.precision, pooled=True)
        return features_of(pooled, self.config, self._machine(), self._gathered(inputs)[0])

    def evaluate(self, test: Any) -> dict[str, Score]:
        """All metrics of the task on labelled data; features that a linear probe has cached of it are read.

        Unless the run's cache is off, it remembers what the files hold, as it does of the data of a run.

        >>> print(mmt.load("runs/a").evaluate("test.csv")["accuracy"])
        1.0000 (0.7847 to 1.0000)
        """
        table = self.model.task.check(self._table(test, labelled=True, option="--test"), "test")
        return self.model.task.target.measure(
            self._records(table, "evaluating", (self.result.get("cache") or {}).get("cut"))
        )

    def report(self, out: str | Path | None = None, data: Any = None, explain: bool = True) -> Path:
        """Writes one page of what the run has come to, RUN/report.html if `out` is None; arguments as of `mmt.report`.

        >>> mmt.load("runs/a").report(explain=False).name
        'report.html'
        """
        from mmtransfer.report import report

        return report([self.folder.path], out, data, (lambda _: self) if explain else None)

    def worst(self, n: int = 20, data: Any = None) -> pandas.DataFrame:
        """The most wrong answers on test data (on validation data where there are none), the worst first: id, input
        (text or path), truth, answer, confidence. `data`: as of `mmt.report`.

        >>> mmt.load("runs/a").worst().columns.tolist()
        ['id', 'input', 'truth', 'answer', 'confidence']
        """
        import pandas

        from mmtransfer.report.evidence import gather
        from mmtransfer.report.worst import Worst, worst

        return pandas.DataFrame(worst(gather(self.folder.path, data), n), columns=list(Worst._fields))

    def _table(self, source: Any, labelled: bool, option: str) -> Table:
        task = self.model.task
        columns = task.columns()
        limit, skip = self.config.max_seconds, labelled and self.config.skip_bad
        # a prediction writes nothing
        kept = labelled and self.config.cache != "off"
        reading = provenance.kept_reading(self._cache(), self._machine().is_main, "test") if kept else None
        return sources.load(source, task.input.kind, columns, skip, option, labelled, "test", limit, reading)

    def _cache(self) -> Cache:
        return settings.make(self.config.cache, self.config.cache_dir, self.config.cache_limit)

    def _machine(self) -> Machine:
        return Machine.as_it_is(self.config, processes.for_inference())

    def _records(self, table: Table, label: str, stored: str | None = None) -> Records:
        """`stored`: where the states that the run stored are cut; a prediction's few inputs are none of them."""
        model, machine = self.model, self._machine()
        model.to(machine.device)
        examples = examples_of(model.task, table)
        if stored == "features":
            features = cached_features(model, examples, machine, self._cache())
            examples = examples if features is None else examples.with_states(features, model.task)
        return evaluate(model, examples, machine, label)
