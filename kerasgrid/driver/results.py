"""What a search returns: its results.json, with all that the commands make of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasgrid.console import is_notebook
from kerasgrid.errors import ResultsError
from kerasgrid.io import check_new, write_text
from kerasgrid.run.paths import RunPaths, is_weights
from kerasgrid.run.results import ResultsData

if TYPE_CHECKING:
    from kerasgrid.delivery.fitting import Fitted
    from kerasgrid.views.pages import Page


class Results(ResultsData):
    """A finished or running search's results, as `search` returns them and `Results.load` reads them.

    Examples:
        >>> results = Results.load("results/digits.json")  # doctest: +SKIP
        >>> results.frame().head()  # doctest: +SKIP
    """

    def hiplot(self, *, epochs: bool = False) -> Any:
        """Returns the hiplot.Experiment; in a notebook its page is shown, too.

        Args:
            epochs: A line an epoch instead of a line a trial, chained to learning curves.
        """
        from kerasgrid.tables.reading import results_table
        from kerasgrid.views.hiplot import page_of, show
        from kerasgrid.views.pages import framed

        tables = [results_table(self)]
        experiment = show(tables, epochs=epochs)
        if is_notebook():
            from IPython.display import display

            display({"text/html": framed(page_of(experiment, tables))}, raw=True)
        return experiment

    def plot(self, output: str | Path | None = None, *, epochs: bool = False) -> Page:
        """Writes the HiPlot page, as `kerasgrid plot` does, and returns its path, which a notebook shows.

        Args:
            output: The .html file; beside the results by default.
            epochs: A line an epoch instead of a line a trial.

        Raises:
            ResultsError: There is no trial to show, or no file beside which the page could lie.
        """
        from kerasgrid.tables.reading import results_table
        from kerasgrid.views.hiplot import write_page
        from kerasgrid.views.pages import Page, page_path

        target = page_path([self.file], None if output is None else Path(output))
        return Page(write_page([results_table(self)], target, epochs=epochs))

    def report(self, output: str | Path | None = None) -> Page:
        """Writes what was learnt, as `kerasgrid report` does, and returns its path, which notebooks show.

        Args:
            output: The .html file; NAME.report.html beside the results by default.

        Raises:
            ResultsError: No trial has begun, or there is no file beside which the page could lie.
        """
        from kerasgrid.report.writing import Report
        from kerasgrid.views.pages import Page, page_path

        target = page_path([self.file], None if output is None else Path(output), ending=".report.html")
        write_text(target, Report(self.file).html())
        return Page(target)

    def suggest(self, output: str | Path | None = None) -> str:
        """Returns the text of the next grid.yaml, as `kerasgrid suggest` prints it.

        Args:
            output: A file to write it to as well, which must not exist.

        Raises:
            ResultsError: No trial has a score, or no parameter varies.
        """
        from kerasgrid.report.findings import analyse
        from kerasgrid.report.suggestion import suggest
        from kerasgrid.tables.reading import results_table

        if output is not None:
            check_new(Path(output))
        text = suggest(analyse(results_table(self)))
        if output is not None:
            write_text(Path(output), text)
        return text

    def fit(self, **options: Any) -> Fitted:
        """Trains the best candidate on all of the training data, as `kerasgrid fit` and `kg.fit` do.

        Args:
            options: Those of `kg.fit`: trial, top, seeds, finetune and more.
        """
        from kerasgrid.delivery.fitting import fit

        return fit(self, **options)

    def submission(
        self, output: str | Path | None = None, *, sample: str | Path | None = None, **options: Any
    ) -> Path:
        """Predicts the test set and writes what a competition takes, as `kerasgrid predict` does.

        Args:
            output: The .csv file; results/NAME/submission.csv by default.
            sample: The competition's sample; by default the config's, or that beside its data.test.
            options: Those of `kg.predict`: data, trial, top, tta and more.

        Raises:
            ResultsError: A trial has no models: `fit` trains them.
            DataError: The test set or the sample cannot be read, or the file is there and is another one.
        """
        from kerasgrid.delivery.finished import FinishedRun
        from kerasgrid.delivery.predicting import predict
        from kerasgrid.delivery.submission import plan_submission

        planned = plan_submission(
            FinishedRun(self, options.get("model"), options.get("overrides", ())),
            None if output is None else Path(output),
            sample=None if sample is None else Path(sample),
            is_own_data=options.get("data") is not None,
        )
        planned.write(predict(self, **options))
        return planned.target

    @property
    def best_model(self) -> Any:
        """The keras.Model of all training data that `fit` has trained last, loaded by Keras.

        Where Keras would not load it, the model function builds it again.

        Raises:
            ResultsError: None was trained yet, or Keras cannot load it.
            ChangedError: The source of the model function that is to build it changed since.
        """
        file = RunPaths.kept(RunPaths.of(self.file).best)
        if not file.exists():
            raise ResultsError(f"{file} is not there yet: results.fit() trains it.")
        if is_weights(file):
            from kerasgrid.delivery.inference import rebuilt_model

            return rebuilt_model(self, file)
        from kerasgrid.training.saving import load_kept

        return load_kept(file)
