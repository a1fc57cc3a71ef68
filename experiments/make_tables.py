"""Writes the tables of diabetes.yaml, breast_cancer.yaml, readings.yaml and demand.yaml into data/.

    python experiments/make_tables.py

Two are scikit-learn's own, to one of which categories and blanks are added; two are made up. Each is a
folder with train.csv, test.csv and sample_submission.csv, as competitions hand them round. It takes a
second, and nothing is downloaded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes

N_PATIENTS, N_READINGS = 160, 6
"""Of readings: how many patients, and how often each was seen."""
LEAD_DAYS = 14
"""Of demand: how long before a day its row has to be known."""


def diabetes() -> pd.DataFrame:
    """Returns 442 patients by 10 numbers, and how far their disease went within a year."""
    data = load_diabetes(as_frame=True, scaled=False)
    return data.frame.rename(columns={"target": "progression"})


def breast_cancer(generator: np.random.Generator) -> pd.DataFrame:
    """Returns 569 tumours by 20 numbers and 3 categories, with blanks, and their diagnosis."""
    data = load_breast_cancer(as_frame=True)
    table = data.data.iloc[:, :20].rename(columns=lambda name: name.replace(" ", "_"))
    smooth, size = table.pop("mean_smoothness"), table.pop("mean_area")
    table["surface"] = pd.qcut(smooth, 4, labels=["even", "uneven", "rough", "ragged"]).astype(object)
    table["size"] = pd.qcut(size, 3, labels=["small", "medium", "large"]).astype(object)
    table["clinic"] = generator.choice(["north", "south", "east"], len(table), p=[0.5, 0.4, 0.1])
    table.loc[len(table) - 5 :, "clinic"] = "west"  # in the test set alone
    for name in ("mean_texture", "mean_concavity", "texture_error", "surface"):
        table.loc[generator.random(len(table)) < 0.08, name] = np.nan
    table["diagnosis"] = np.where(data.target == 0, "malignant", "benign")
    return table


def readings(generator: np.random.Generator) -> pd.DataFrame:
    """Returns several readings of each patient, whose age and weight tell who it is, and its own level."""
    patient = np.repeat(np.arange(N_PATIENTS), N_READINGS)
    age, weight = generator.integers(20, 80, N_PATIENTS), generator.normal(75, 14, N_PATIENTS).round(1)
    level = 100 + 0.5 * (age - 50) + 12 * generator.standard_normal(N_PATIENTS)
    n = len(patient)
    meal, walked = generator.choice(["fasting", "light", "full"], n), generator.gamma(2, 2, n).round(1)
    effect = pd.Series(meal).map({"fasting": -8, "light": 2, "full": 14}).to_numpy()
    glucose = level[patient] + effect - 1.5 * walked + 4 * generator.standard_normal(n)
    names = [f"P{number:03}" for number in patient]
    columns = {
        "patient": names,
        "age": age[patient],
        "weight": weight[patient],
        "meal": meal,
        "walked_km": walked,
    }
    return pd.DataFrame({**columns, "glucose": glucose.round(1)})


def demand(generator: np.random.Generator) -> pd.DataFrame:
    """Returns what a shop sold on each day of three years, with what was known of it 14 days before."""
    date = pd.date_range("2022-01-01", periods=3 * 365, freq="D")
    day = np.arange(len(date))
    offer = generator.random(len(date)) < 0.15
    weekend = np.where(date.day_of_week >= 5, 35, 0)
    season = 20 * np.sin(2 * np.pi * date.day_of_year.to_numpy() / 365)
    sold = 120 + 0.08 * day + weekend + season + 40 * offer + 9 * generator.standard_normal(len(date))
    table = pd.DataFrame({"date": date.strftime("%Y-%m-%d"), "weekday": date.day_name(), "month": date.month})
    table["offer"] = np.where(offer, "yes", "no")
    sold = pd.Series(sold.round())
    table["sold_14_days_ago"] = sold.shift(LEAD_DAYS)
    table["week_before_that"] = sold.shift(LEAD_DAYS).rolling(7).mean().round(1)
    table["sold"] = sold
    return table.iloc[LEAD_DAYS + 6 :]


def write(table: pd.DataFrame, folder: Path, n_test: int) -> None:
    """Writes a table whose last column is the answer, which the last rows are to be predicted without."""
    folder.mkdir(parents=True, exist_ok=True)
    table = table.reset_index(drop=True)
    table.insert(0, "id", np.arange(len(table)))
    train, test, answer = table[:-n_test], table[-n_test:], table.columns[-1]
    train.to_csv(folder / "train.csv", index=False)
    test.drop(columns=answer).to_csv(folder / "test.csv", index=False)
    sample = test[["id"]].assign(**{answer: train[answer].mode()[0]})
    sample.to_csv(folder / "sample_submission.csv", index=False)
    print(f"{folder}: {len(train)} rows to train on, {n_test} to predict")


def main(data: Path) -> None:
    """Writes all four below a folder."""
    generator = np.random.default_rng(0)
    write(diabetes(), data / "diabetes", 42)
    write(breast_cancer(generator), data / "breast_cancer", 69)
    write(readings(generator), data / "readings", 20 * N_READINGS)
    write(demand(generator), data / "demand", 28)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "data")
